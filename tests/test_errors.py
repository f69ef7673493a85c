"""Errors say what was wanted, what was given, and what to do."""

from __future__ import annotations

import pytest

import candle
from candle import BackendError, DeviceError, DimError, DTypeError, KernelError, ShapeError, Spec
from candle.backend import Reference

A, B, I = candle.zeros(2, 3), candle.zeros(4, 5), candle.zeros(2, 3, dtype=candle.int64)

CASES = [
    (
        lambda: A @ B,
        ShapeError,
        r"matmul takes T\[m,k\], T\[k,n\] -> T\[m,n\] but was given float32\[2,3\], float32\[4,5\]: 3 and 4 differ",
    ),
    (lambda: A + B, ShapeError, r"add takes T\[\], T\[\] -> T\[\] but was given float32\[2,3\], float32\[4,5\]: .*broadcast"),
    (lambda: A.sum(2), DimError, r"sum's dim is from -2 to 1 for 2 dimensions but 2 was given"),
    (lambda: A.sum((0, 0)), DimError, "each dimension once"),
    (lambda: A.sum("x"), DTypeError, "takes an integer but was given 'x'"),
    (lambda: A.reshape(4, 4), ShapeError, r"reshape cannot make float32\[2,3\], of 6 elements, into \(4, 4\)"),
    (lambda: A.expand(5, 3), ShapeError, r"expand cannot broadcast float32\[2,3\] to \(5, 3\)"),
    (lambda: A.permute(0, 0), ShapeError, "each of the 2 dimensions"),
    (lambda: A.softmax(dim=5), DimError, "from -2 to 1"),
    (lambda: candle.cat([A, B]), ShapeError, "cat"),
    (lambda: A[5], DimError, "5"),
    (lambda: A[0, 0, 0], DimError, r"3 dimensions were indexed but float32\[2,3\] has 2"),
    (lambda: A[1.5], DTypeError, "an index is an integer, a slice, None, Ellipsis, or .* but 1.5 was given"),
    (lambda: A[::0], DimError, "a slice's step is not 0"),
    (lambda: A[:, [True, False]], DimError, r"a mask has the shape of the dimensions it indexes, \(3,\), but was given .*\(2,\)"),
    (lambda: candle.tensor(1)[0], DimError, r"1 dimensions were indexed but int64\[\] has 0"),
    (lambda: A & A, DTypeError, r"bitwise_and takes .* one of .*but was given float32\[2,3\].*\.to\(dtype\)"),
    (lambda: candle.ones(2, dtype=candle.bool_) - candle.ones(2, dtype=candle.bool_), DTypeError, "sub"),
    (lambda: A.index_select(0, A[0]), DTypeError, "index_select"),
    (lambda: A.index_select(0, candle.tensor([7])), DimError, "7"),
    (lambda: A.sum(dim=1, keepdimm=True), TypeError, "did you mean 'keepdim'"),
    (lambda: A.softmax(1, 2, 3, 4), TypeError, "arguments by position"),
    (lambda: candle.matmul(A), TypeError, "missing 1 required positional argument"),
    (lambda: A + "x", DTypeError, r"add takes tensors .* but was given str 'x'; it is add\(a, b\)"),
    (lambda: A + object(), DTypeError, "add takes tensors .* but was given object"),
    (lambda: A.clamp(), TypeError, "clamp takes at least one bound; give min, max or both"),
    (lambda: candle.stack([]), TypeError, r"stack was given no tensor: it is stack\(\*tensors, dim=0\)"),
    (lambda: A.split(0), ShapeError, "split takes a size of at least 1 but was given 0"),
    (lambda: A.topk(9), ShapeError, "topk's k is from 0 to the size 3 of dimension 1"),
    (lambda: A.max(dim=7), DimError, "dim is from -2 to 1 for 2 dimensions but 7 was given"),
    (lambda: candle.zeros(0).max(), ShapeError, "takes at least one element"),
    (lambda: A.masked_fill(A, 1), DTypeError, r"masked_fill takes S\[\], bool\[\], S\[\] -> S\[\]"),
    (lambda: A.as_strided((2,), (1,)), DTypeError, "as_strided has no meaning; use unfold, diagonal, slice or expand"),
    (lambda: A.gather(1, candle.tensor([[7]])), DimError, "gather was given the index 7 for a dimension of size 3"),
    (lambda: A.to(candle.int4).sum(), DTypeError, r"sum takes T -> T with T one of .* but was given int4\[2,3\]; cast with"),
    (lambda: candle.linalg.inv(candle.zeros(2, 2)), candle.LinAlgError, "at least one is singular"),
    (lambda: candle.linalg.inv(A), ShapeError, "2 and 3 differ"),
    (lambda: candle.fft.fft(A, dim=4), DimError, "fft.fft's dim is from -2 to 1"),
    (lambda: candle.tensor([[1, 2], [3]]), ShapeError, "the same number of elements in each row"),
    (lambda: candle.tensor("abc"), DTypeError, "a tensor is made of numbers but 'abc' was given"),
    (lambda: candle.tensor([None]), DTypeError, r"made of numbers but \[None\] was given"),
    (lambda: candle.tensor([300], dtype=candle.uint8), DTypeError, "uint8 holds integers from 0 to 255 but 300 was given"),
    (lambda: candle.full((2,), "x"), DTypeError, "full takes a number to fill with but was given str 'x'"),
    (lambda: candle.arange(1, dtype="foo"), DTypeError, "there is no dtype called 'foo'; the dtypes are bool, uint8"),
    (lambda: candle.randint(5, 1, (2,)), ShapeError, r"randint draws from \[low, high\) but was given \[5, 1\)"),
    (lambda: candle.bernoulli(A + 2), DTypeError, "probabilities from 0 to 1"),
    (lambda: candle.compile(3), TypeError, "compile takes a function or a module but was given int 3"),
    (lambda: candle.nn.Linear(-2, 3), ShapeError, r"sizes are at least 0 but the shape \(3, -2\) was given"),
    (lambda: candle.nn.Linear(2, 3)(A), ShapeError, r"x\[\.\.,k\] and weight\[n,k\] share k"),
    (lambda: candle.nn.functional.dropout(A, 2.0), candle.CandleError, "a probability from 0 to 1 but 2.0 was given"),
    (lambda: candle.nn.functional.one_hot(I - 1), DimError, "one_hot was given the id -1; ids are at least 0"),
    (lambda: candle.nn.functional.softmax(A), TypeError, "softmax needs 'dim'"),
    (lambda: candle.tensor([1, 2]).to(device=3), DeviceError, "a device is a name such as 'numpy' or 'cuda:0' but 3 was given"),
    (lambda: bool(A), ShapeError, r"is ambiguous: it has 6 elements; use .any\(\) or .all\(\)"),
    (lambda: candle.zeros(-1), ShapeError, "at least 0"),
    (lambda: candle.zeros(2.5), (ShapeError, DTypeError), "integer"),
    (lambda: candle.arange(0, 5, 0), ShapeError, "step"),
    (lambda: candle.zeros(2, device="nowhere"), BackendError, r"no installed backend is called 'nowhere'; installed are .*numpy"),
    (lambda: candle.zeros(2, device="cuda"), BackendError, "pip install candle-cuda"),
    (lambda: candle.zeros(2, device="nunpy"), BackendError, "did you mean 'numpy'"),
    (lambda: candle.zeros(2, device="a:b:c"), DeviceError, "such as 'numpy' or 'cuda:0'"),
    (lambda: candle.zeros(2, device="numpy:1"), DeviceError, "numbered"),
    (lambda: candle.no_such_function, AttributeError, "candle has no 'no_such_function'"),
    (lambda: candle.sofmax, AttributeError, "did you mean 'softmax'"),
    (lambda: A.nothing, AttributeError, "nothing"),
    (lambda: setattr(A, "grad", B), ShapeError, "shape"),
    (lambda: A.add_(candle.zeros(5, 2, 3)), ShapeError, "keeps the shape"),
    (lambda: I.add_(1.5), DTypeError, "keeps the dtype"),
    (lambda: I.__iadd__(1.5), DTypeError, "keeps the dtype"),
    (lambda: Spec((-1,), "float32"), ShapeError, "at least 0"),
    (lambda: candle.einsum("ij,jk->ik", A), ShapeError, "2 operands but 1"),
    (lambda: candle.nn.functional.conv2d(A, B), ShapeError, r"conv2d takes x\[batch, channels, h, w\]"),
    (lambda: candle.linspace(0, 1, -2), ShapeError, "at least 0"),
    (lambda: A.view(5), ShapeError, "reshape cannot make"),
    (lambda: A.item(), ShapeError, "tolist"),
]


@pytest.mark.parametrize(("act", "error", "text"), CASES)
def test_bad_calls_raise_clear_errors(act, error, text):
    with pytest.raises(error, match=text) as caught:
        act()
    assert len(str(caught.value)) > 15


def test_tensors_of_two_devices_do_not_mix():
    candle.register_backend("elsewhere", lambda: _named("elsewhere"))
    with pytest.raises(
        DeviceError, match=r"add was given tensors on numpy and elsewhere; move them to one device with .to\(device\)"
    ):
        candle.zeros(2, device="numpy") + candle.zeros(2, device="elsewhere")
    x = candle.ones(2, device="numpy").requires_grad_()
    (x.to("elsewhere") * 3).sum().backward()
    assert x.grad.device == candle.device("numpy") and x.grad.tolist() == [3, 3]


def _named(name):
    class Named(Reference):
        pass

    Named.name = name
    return Named()


def test_a_missing_kernel_is_named_with_what_it_was_for():
    class Poor(Reference):
        name = "poor"

        def __init__(self):
            super().__init__()
            self.kernels = {k: v for k, v in self.kernels.items() if k != "sort"}

        def kernel(self, op, out, specs, attrs):
            return self.kernels.get(op.name)

    candle.register_backend("poor", Poor)
    with pytest.raises(KernelError, match=r"poor has no kernel for sort\(float32\[3\]\).*\.to\('numpy'\)"):
        candle.zeros(3, device="poor").sort()


def test_a_backend_that_does_not_start_gives_its_reason():
    def broken():
        raise OSError("no such library: libmine.so")

    candle.register_backend("broken", broken)
    with pytest.raises(BackendError, match="libmine.so.*candle doctor"):
        candle.zeros(2, device="broken")
