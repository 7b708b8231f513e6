"""What files of digits hold: three splits, each of images or of their features, with labels."""

SPLITS = ("test", "train", "val")  # in the order of a safetensors file

LABELS = {f"{split}_labels": ("int64", (split,)) for split in SPLITS}
IMAGES = LABELS | {f"{split}_images": ("uint8", (split, 28, 28)) for split in SPLITS}
FEATURES = LABELS | {f"{split}_features": ("float32", (split, "features")) for split in SPLITS}
