"""The ops that a model's graph may have, derived from TensorFlow's and TensorFlow Text's own definitions.

    python -m tests.support.allowed_ops > berth/models/allowed_ops.py          in the environment of the train image

An op is allowed if it is stateless by its definition and none of the words and names below says that it reaches outside
of the process, or if its state was reviewed: variables, tables, random numbers and control flow.
"""

import re
import textwrap

_OUTSIDE = re.compile(
    "^_|Dataset|Iterator|Reader|Summary|File|Save|Restore|Checkpoint|Debug|Proto|PyFunc|Xla|Mlir"
    "|TPU|Tpu|DTensor|Nccl|Collective|Send|Recv|Rpc|Remote|Mesh|Relayout|Infeed|Outfeed|Prelinearize|Session|Queue|Stage"
    "|Barrier|Accumulator|BatchFunction|SparseCore|Dedup|Embedding|BoostedTrees|Sdca|Print|^Risc|[a-z]>Test|Kernel|^ConstructionFails$|^Old$|^GetDeadline$"
)
"""Words in the names of ops that read or write files, talk to other processes or devices, or run other code."""
_REFUSED = {
    "Abort": "ends the process",
    "Copy": "its debug_ops_spec names a file or a server",
    "CopyHost": "its debug_ops_spec names a file or a server",
    "CustomAggregator": "collects what goes through the model",
    "GenerateVocabRemapping": "reads files",
    "ImmutableConst": "maps a file into memory",
    "Batch": "shares its queue with other models",
    "Unbatch": "shares its queue with other models",
    "UnbatchGrad": "shares its queue with other models",
}
"""Stateless ops, and why none is allowed."""
_STATE = re.compile(
    "Assert|Case|If|While|StatefulPartitionedCall|DeviceIndex|CheckNumerics(V2)?|Empty|GuaranteeConst"
    "|(Ref)?Variable(V2|Shape)?|Var(Handle|IsInitialized)Op|ReadVariableOp|Assign(Add|Sub)?VariableOp|DisableCopyOnRead"
    "|DestroyResourceOp|Resource(Gather|Scatter|StridedSlice|Apply|SparseApply)\\w*"
    "|(Anonymous|Mutable|AnonymousMutable)?(Dense)?HashTable(OfTensors)?(V2)?|LookupTable\\w+V2|InitializeTableV2"
    "|TensorArray\\w*|Stack\\w*|(Add|AddMany|TakeMany)Sparse(To|From)TensorsMap"
    "|Random(Uniform|UniformInt|StandardNormal|Gamma|Poisson|PoissonV2|Shuffle|Crop)|(Parameterized)?TruncatedNormal"
    "|Multinomial|Stateful(Uniform|Random|Standard|Truncated)\\w*|StatelessRandomGetAlg|Rng(ReadAndSkip|Skip)"
    "|NonDeterministicInts|CudnnRNN\\w*|Sentencepiece\\w*|WordpieceTokenizeWithOffsets"
)
"""Stateful ops whose state is the model's own, in the memory of its process."""


def derived() -> set[str]:
    """Return the allowed ops of the installed TensorFlow and TensorFlow Text."""
    import tensorflow_text  # noqa: F401  registers its ops
    from tensorflow.core.framework.op_def_pb2 import OpList
    from tensorflow.python.client import pywrap_tf_session

    registered = OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())).op
    return {op.name for op in registered if _is_allowed(op.name, op.is_stateful)}


def _is_allowed(name: str, is_stateful: bool) -> bool:
    from tensorflow.python.framework import kernels

    if _OUTSIDE.search(name) or name in _REFUSED or (is_stateful and not _STATE.fullmatch(name)):
        return False
    # TensorFlow's own tests have ops without a kernel. cuDNN's kernels are only where there is a GPU; AccumulateNV2 is
    # replaced before a graph runs.
    found = kernels.get_registered_kernels_for_op(name).kernel
    return name.startswith(("Cudnn", "AccumulateNV2")) or any("XLA" not in own.device_type for own in found)


def source(names: set[str]) -> str:
    """Return the module berth/models/allowed_ops.py for these ops."""
    lines = textwrap.fill(" ".join(sorted(names)), 120, break_long_words=False, break_on_hyphens=False)
    head = '"""The ops that a graph may have. Written by tests/support/allowed_ops.py, which says why."""\n\n'
    return f'{head}ALLOWED = frozenset(\n    """\n{lines}\n""".split()  # noqa: SIM905  a line holds many\n)\n'


if __name__ == "__main__":
    print(source(derived()), end="")
