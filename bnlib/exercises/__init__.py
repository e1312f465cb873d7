"""Checkers for the book's exercises: a wrong answer is told which mistake it is.

>>> def mine(x, gamma, beta, eps):
...     return gamma * (x - x.mean(axis=0)) / (x.var(axis=0) + eps) + beta
>>> check_forward(mine)
Not right yet.
x - mean is divided by the variance; it is divided by its root, the
standard deviation. Go back to chapter forward_pass, “Four lines of
arithmetic”, the line of x_hat.

An exercise is a derivation in named steps (`derivations`), a catalogue of mistakes that replace one
or two of them (`forward_mistakes`, `image_mistakes`, `backward_mistakes`, `parameter_mistakes`, for
operations of the graph `graph_sum_mistakes`, `graph_node_mistakes`, and `evidence_mistakes`), and
made-up batches; `forward`, `backward`, `graph_nodes`, `evidence`, and with catalogues of their own
`weights`, `running`, `groups`, `drift`, `folding`, `merging` and `whitening`, have the batches and
the checkers. `gradient_checks` asks a reader's check about `backward_suspects`, and `blindness`
says why it could not see. `examination` asks and answers, `diagnosis` finds the mistake, `calling`
survives the reader's function, and `pointers` knows where the book derives what. `grading` asks a
student's notebook, in a process of its own, where `answering` runs it.
"""

from bnlib.exercises.answers import Answer
from bnlib.exercises.backward import check_backward
from bnlib.exercises.drift import check_drift
from bnlib.exercises.evidence import check_contrast, check_interval
from bnlib.exercises.folding import check_fold
from bnlib.exercises.forward import check_forward
from bnlib.exercises.gradient_checks import check_gradient_check
from bnlib.exercises.graph_nodes import check_graph_node
from bnlib.exercises.groups import check_group_norm
from bnlib.exercises.merging import check_merge
from bnlib.exercises.noise import check_noise
from bnlib.exercises.relatives import check_layer_norm_backward
from bnlib.exercises.roughness import check_roughness
from bnlib.exercises.running import check_evaluation, check_running_average
from bnlib.exercises.shifted import check_energy, check_mixed_statistics
from bnlib.exercises.weights import check_rate, check_scale
from bnlib.exercises.whitening import check_whitening

__all__ = [
    "Answer",
    "check_backward",
    "check_contrast",
    "check_drift",
    "check_energy",
    "check_evaluation",
    "check_fold",
    "check_forward",
    "check_gradient_check",
    "check_graph_node",
    "check_group_norm",
    "check_interval",
    "check_layer_norm_backward",
    "check_merge",
    "check_mixed_statistics",
    "check_noise",
    "check_rate",
    "check_roughness",
    "check_running_average",
    "check_scale",
    "check_whitening",
]
