"""Arithmetic that gives the same bits on every machine: the contract.

Adding floats in another order gives another result, and every library, processor and number of
threads has an order of its own. Adding integers does not: so products and sums are made of integers
that float64 holds exactly, and no order matters. All else is done element by element, one operation
of IEEE 754 at a time, in the order written here. Whatever follows this page, in any language and on
any processor, computes the same bits.

Notation. f32(v) rounds to float32, all other operations are those of float64: each rounds once, to
nearest, ties to even. a * b / c is (a * b) / c. rint(v) rounds to an integer, ties to even.
ceil_log2(K) is the smallest n with K <= 2^n. A "word" is a random integer from 0 to 2^32 - 1.
Tensors are in the order of torch: examples, channels, rows, columns.

Integers. For numbers x, of which the largest magnitude is below 2^E but not below 2^(E - 1), and
for a number of bits: q = rint(x * 2^(bits - E)), so |q| <= 2^bits and x is about q * 2^(E - bits).
E is 0 if all are 0. "Per tensor" takes E from the whole tensor, "per example" from each example of
a batch, so that its result does not depend on the others. If a number is infinite or nan, each q is
nan. Whether a sum that is 0 is +0 or -0 is left open: nothing that is kept depends on it.

Products of K terms, as in a matrix product or a convolution, have bits = (53 - ceil_log2(K)) // 2
for both factors: every product and every partial sum is an integer of at most 2^53. The integer is
then scaled by the power of two that makes up for both factors'.

Sums of K terms have bits = 53 - ceil_log2(K), per tensor; the sum is scaled likewise. A mean is the
sum divided by K.

Inputs. Pixels are f32(byte / 255). AlexNet's are f32(f32(pixel - mean) / std), the means and
standard deviations of the channels rounded to float32.

Layers (weights, inputs and outputs in float32; the gradient of the output is g):
    linear   y = f32(sum over inputs (weight * x) + bias): x per example, weight per tensor
    conv     the same for each place, where the kernel is not flipped; a sum of channels * kernel
             * kernel terms, the zeros of the padding included
    both     gradient of x: f32 of a product over outputs (linear), or over output channels * kernel
             * kernel (conv); of weight: f32 of a product over the batch, or over the batch and the
             places of the output; of bias: f32 of a sum over the same. All are per tensor; but
             where the layer is frozen, the gradient of x is made of g per example
    max_pool the largest of each block; its gradient goes to the first of those in reading order.
             Where blocks overlap: f32 of the sum of what a value gets from its blocks, in the
             reading order of its places in them
    avg_pool f32(the block's values, added in reading order, / their number); gradient
             f32(g / their number)
    pools    drop rows and columns that do not fill a block; their gradient is 0
    relu     the larger of x and 0; gradient g where x > 0, else 0
    tanh     f32(tanh(x)); gradient, each operation rounded to float32, g * (1 - y * y)
    dropout  in training, f32(x / (1 - p)) where its word >= p * 2^32, else 0; likewise for g

Functions. exp(v), v <= 0: v = max(v, -700); k = rint(v * (1 / ln2)); r = v - k * ln2; P = 1; for
i from 14 down to 1, P = P * r / i + 1; the result is P * 2^k. log(v), v > 0: v = m * 2^e with
c <= m < 2 * c; s = (m - 1) / (m + 1); P = 0; for i = 21, 19, ..., 1, P = P * (s * s) + 1 / i; the
result is 2 * s * P + e * ln2. tanh(v): for |v| < 2^-10, v - v * v * v / 3; otherwise, with
t = exp(-2 * |v|), (1 - t) / (1 + t) and the sign of v. ln2 and c are the float64 nearest to log 2
and sqrt(1/2).

Cross-entropy of logits z (float32) of N examples. With top = max z and e_j = exp(z_j - top), and
total = e_0 + e_1 + ... in this order: the probabilities are e_j / total, an example's loss is
log(total) + top - z_label, the loss of the batch is f32 of their mean. Gradient:
f32((e_j / total - [j is the label]) / N). The answer is the first of the largest logits.

Optimizers keep their state in float64, 0 at first; weights are rounded to float32 after each
update. With the gradient g = gradient + weight_decay * weight:
    Adam     m = beta1 * m + (1 - beta1) * g; v = beta2 * v + (1 - beta2) * (g * g);
             weight = f32(weight - learning_rate / c1 * m / (sqrt(v * (1 / c2)) + eps)), where
             c1 = 1 - beta1^t and c2 = 1 - beta2^t by repeated multiplication, from t = 1;
             beta1 = 0.9, beta2 = 0.999, eps = 1e-8
    SGD      v = momentum * v + g; weight = f32(weight - learning_rate * v)

Random numbers. Words come from the Mersenne Twister MT19937, initialised by the array [seed,
purpose] (Matsumoto and Nishimura's init_by_array); purpose: 1 for initial weights, 2 for the order
of examples, 3 for dropout, 4 for gradient ascent, 5 for places. Each purpose has one stream of
words for the whole model and training, or for the whole ascent. Initial weights: one word each,
weight before bias, layer by layer; with u = word >> 8, f32((u / 2^23 - 1) * (1 / sqrt(fan_in))),
where fan_in is the layer's K, for its bias too. The order of an epoch: the indices sorted by one
word each, equal words in the order of the indices; batches are taken from it in turn, and what does
not fill the last one is dropped. Dropout: one word for each element of the batch, update by update,
layer by layer. Places: one word for each coordinate, modulo the number of choices.

Means of feature maps: f32 of a sum over height and width, per example, divided by their product;
the gradient of each place is f32(g / their product).

Squared distances of points of K numbers: those of their integers, per tensor, with
bits = (53 - ceil_log2(4 * K)) // 2: the sum of both points' squares and twice their product stay
below 2^53.

Enlarging a uint8 image bilinearly from n to m pixels, corners not aligned: in units of 1 / (2 m),
the place of pixel i is max((2 i + 1) * n - m, 0), between pixels j = place // (2 m) and
min(j + 1, n - 1), with the weights 2 m - place % (2 m) and place % (2 m): integers. The sum over
rows and columns is exact; f32(sum / ((2 m)^2 * 255)) has the range from 0 to 1. Of pixels x that
are no bytes, rint(x * 255 * 2^14) / 2^14 stand for them. The gradient of x: f32(sum / (2 m)^2) of
the same weights times g, which becomes integers per example, with bits = 53 - 2 * ceil_log2(W),
where W is the largest sum of a pixel's weights in one direction. Grey repeated for red, green and
blue has the gradient f32(red + green + blue).

Gradient ascent from the ground h, channels * rows * columns in float32, with jitter j. Each image
starts as x = f32(min(max(h + (word / 2^32 - 1 / 2) / 8, 0), 1)), one word for each number of h, the
same for all images. A step takes two words, dy = word % (2 * j + 1) - j and dx likewise. g is the
gradient at x rolled down by dy rows and right by dx columns around the edges, and is rolled back.
As many times as the blur says, g = ((above + below) + 2 * g) / 4 and then
g = ((left + right) + 2 * g) / 4, with zeros beyond the edges. In colour, each
g = g + (red + green + blue). Then v = x + rate * (g / the largest magnitude of the image's g, or 1
if that is 0) and x = f32(min(max(v - min(max(v - h, -decay), decay), 0), 1)).
"""
