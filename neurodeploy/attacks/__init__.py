"""Perturbations and attacks on any differentiable classifier, on its integer code grid."""
