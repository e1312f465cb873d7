"""Where the book derives what: the only place that knows how a page calls its sections."""

FORWARD = "chapter forward_pass"
RUNNING = "chapter running_averages"
GRAPH = "chapter computational_graph"
BACKWARD = "chapter backward_pass"
CHECKS = "workshop gradient_checks"
EVIDENCE = "chapter how_we_measure"

LINES = f"{FORWARD}, “Four lines of arithmetic”"
INTERVAL = f"{EVIDENCE}, “An interval”"
NODES = f"{BACKWARD}, “Node by node”"

POINTERS = {
    # the forward pass
    "batch": LINES,
    "mean": f"{LINES}, the line of the mean",
    "var": f"{LINES}, the line of the variance",
    "x_hat": f"{LINES}, the line of x_hat",
    "y": f"{LINES}, the line of y",
    "eps": f"{FORWARD}, “Is the variance exactly one?”",
    "one_pass": f"{FORWARD}, “Why not in one pass?”",
    "images": f"{FORWARD}, “Pictures: one mean per channel”",
    # running averages
    "modes": f"{RUNNING}, “Two modes”",
    "averages": f"{RUNNING}, “How to average”",
    "momentum": f"{RUNNING}, “Two meanings of momentum”",
    "bessel": f"{RUNNING}, “Which variance is kept?”",
    # the backward pass
    "dy": f"{BACKWARD}, “Three numbers arrive”",
    "dgamma": f"{NODES}, the line of dgamma",
    "dbeta": f"{NODES}, the line of dbeta",
    "dx_hat": f"{NODES}, the line of dx_hat",
    "dvar": f"{NODES}, the line of dvar",
    "dmean": f"{NODES}, the line of dmean",
    "dx": f"{NODES}, where three roads meet at x",
    "closed_form": f"{BACKWARD}, “From the picture to the formula”",
    # the graph
    "operation": f"{GRAPH}, “A formula is a graph”",
    "chain": f"{GRAPH}, “A formula is a graph”",
    "repeat_and_sum": f"{GRAPH}, “Sum goes back as Repeat, Repeat as Sum”",
    "second": f"{GRAPH}, “Gradients have gradients”",
    # gradient checks
    "compare": f"{CHECKS}, “What a gradient check compares”",
    "kill": f"{CHECKS}, “The kill matrix”",
    "missed": f"{CHECKS}, “Why each misses what it misses”",
    "can_fail": f"{CHECKS}, “A check that can fail”",
    # evidence
    "paired": f"{EVIDENCE}, “Pairs”",
    "interval": INTERVAL,
    "contrast": INTERVAL,
    "rival": f"{EVIDENCE}, “The third arm”",
    # weights
    "scale": "chapter signal_propagation, “Where the square root comes from”",
    "rate": "chapter scale_invariance, “Weights without a length”",
    # frameworks
    "fold": "workshop frameworks, “Fold it away”",
    # whitening
    "white": "workshop whitening, “One matrix for all”",
    # shards
    "merged_mean": "workshop many_workers, “Two means, one mean”",
    "merged_var": "workshop many_workers, “What is missing?”",
    # the surface of the loss
    "roughness": "chapter smoothness, “The ruler of the paper”",
    # batch statistics
    "noise": "chapter regularization, “The law of the noise”",
    # the relatives
    "layer": "chapter relatives, “Layer norm is batch norm, turned”",
    "groups": "chapter relatives, “Groups”",
    "rms": "chapter relatives, “Half of layer norm, and what came after”",
    # shifted inputs
    "mixed": "chapter distribution_shift, “One dial, two meters”",
    "energy": "chapter distribution_shift, “Does it notice?”",
    # moving distributions
    "drift": "chapter covariate_shift, “How far does a distribution move?”",
}
