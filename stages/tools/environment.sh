# Make .venv unless it is there, and check that it will do: one line instead of an environment that
# mixes two versions of Python, is for other locks, or was moved.
#
# sh environment.sh VERSIONS PYTHON TORCH: the versions of Python that the locks are for; the one to
# take, or nothing for the newest that runs; `mine` to use the PyTorch of that Python.

versions=$1 python=$2 torch=$3 made=
again="remove .venv, and run make again"
range="${versions%% *} to ${versions##* }"

wrong() { echo "error: $*" >&2; exit 1; }
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null; }
makes_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }
locked() { case " $versions " in *" $1 "*) ;; *) false ;; esac; }

case $torch in ''|mine) ;; *) wrong "TORCH=$torch: it can be TORCH=mine, or be left out" ;; esac

if [ -e .venv/bin/python ] || [ -L .venv/bin/python ]; then
    made=$(version .venv/bin/python) || wrong "the Python of .venv is gone: $again"
    locked "$made" || wrong ".venv has Python $made, but requirements.txt is for $range: $again"
    script=
    ! [ -e .venv/bin/dvc ] || read -r script <.venv/bin/dvc
    script=${script%% *}
    [ -e "${script#??}" ] || [ -z "$script" ] ||
        wrong ".venv was made in another folder, as its scripts say: $again"
fi
if [ -n "$python" ]; then
    found=$(version "$python") || wrong "$python does not run: install one of Python $range, or" \
        "say where it is: make PYTHON=/path/to/python${versions##* }"
    locked "$found" || wrong "$python is Python $found, but requirements.txt is for $range"
    [ "$found" = "${made:-$found}" ] ||
        wrong ".venv has Python $made, but $python is Python $found: $again"
fi
if [ -e .venv/bin/activate ]; then
    [ -z "$torch" ] || [ -e .venv/torch ] || wrong ".venv has a PyTorch of its own: $again"
    exit
fi

if [ -z "$python" ]; then
    PATH=${PATH#"$PWD/.venv/bin:"}
    names="python3 python"
    if [ -z "$torch" ]; then
        newest=
        for each in $versions; do newest="python$each $newest"; done
        names="$newest $names"
    fi
    for python in $names; do
        found=$(version "$python") && locked "$found" && [ "$found" = "${made:-$found}" ] &&
            makes_environments "$python" && break
        python=
    done
    [ -n "$python" ] || wrong "no Python $range with venv is found: install one, with its" \
        "python3-venv on Debian or Ubuntu, or say where it is:" \
        "make PYTHON=/path/to/python${versions##* }"
fi
echo "Python $found makes .venv: $(command -v "$python")"
case $torch in
    '') "$python" -m venv .venv ;;
    mine) "$python" -P stages/tools/lend_torch.py .venv ;;
esac
