"""Digits that changed after training: recoloured ones, and pictures that are no digits at all.

All functions take and return pictures as rows of pixels. A *recoloured* digit keeps its drawing, so
its label by construction; a *strange* picture has no right label.
"""

import numpy as np

BLACK = (0.0, 0.0, 0.0)
GREY = (0.7, 0.7, 0.7)  # 30 % of the contrast of black ink
YELLOW = (0.9, 0.8, 0.1)
COLOURS = ("black", "grey", "yellow", "pastel", "negative")  # the first is learned
RECOLOURED = COLOURS[1:]
STRANGE = ("natural", "inverted", "noise", "shuffled")


def coloured(ink, colours):
    """Drawings in coloured ink on white paper.

    Parameters
    ----------
    ink : ndarray of shape (N, D)
        How much ink each pixel holds, 0 to 1.
    colours : ndarray of shape (3,) or (N, 3)
        Red, green and blue of the ink, 0 to 1: one for all pictures or one for each.

    Returns
    -------
    ndarray of shape (N, 3 D)
        All red values of a picture, then all green ones, then all blue ones.

    Examples
    --------
    >>> coloured(np.array([[0.0, 1.0]]), np.array([0.0, 0.5, 1.0]))
    array([[1. , 0. , 1. , 0.5, 1. , 1. ]])
    """
    colours = np.broadcast_to(np.asarray(colours), (len(ink), 3))
    return (1 - ink[:, np.newaxis] * (1 - colours[:, :, np.newaxis])).reshape(len(ink), -1)


def recolour(ink, how, rng):
    """The same drawings in one of the colours.

    Parameters
    ----------
    ink : ndarray of shape (N, D)
    how : {"black", "grey", "yellow", "pastel", "negative"}
        Black, grey or yellow ink for all; pale ink of a random colour for each picture; white ink
        on black paper.
    rng : numpy.random.Generator
        Draws the pastel colours, from half to full brightness in red, green and blue.

    Returns
    -------
    ndarray of shape (N, 3 D)
    """
    if how == "negative":
        return 1 - coloured(ink, BLACK)
    if how == "pastel":
        return coloured(ink, rng.uniform(0.5, 1, (len(ink), 3)))
    return coloured(ink, {"black": BLACK, "grey": GREY, "yellow": YELLOW}[how])


def strange_pictures(ink, how, rng):
    """As many pictures of the same size that are no digits.

    Parameters
    ----------
    ink : ndarray of shape (N, 64)
        Digits.
    how : {"natural", "inverted", "noise", "shuffled"}
        Patches of scikit-learn's two photographs, in grey; the digits with ink and paper
        exchanged; every pixel uniform from 0 to 1; the digits with the pixels of each picture in
        an order of its own.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray of shape (N, 64)
    """
    makers = {
        "natural": lambda: photograph_patches(len(ink), rng),
        "inverted": lambda: 1 - ink,
        "noise": lambda: rng.random(ink.shape),
        "shuffled": lambda: rng.permuted(ink, axis=1),
    }
    return makers[how]()


def photograph_patches(count, rng, *, side=8):
    """Square patches from random places of the two photographs that scikit-learn carries.

    Parameters
    ----------
    count : int
    rng : numpy.random.Generator
    side : int

    Returns
    -------
    ndarray of shape (count, side * side)
        Brightness, 0 to 1.
    """
    from sklearn.datasets import load_sample_images

    photographs = [image.mean(axis=2) / 255 for image in load_sample_images().images]
    patches = []
    for which in rng.integers(len(photographs), size=count):
        height, width = photographs[which].shape
        top, left = rng.integers(height - side), rng.integers(width - side)
        patches.append(photographs[which][top : top + side, left : left + side].ravel())
    return np.array(patches)
