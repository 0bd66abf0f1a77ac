"""Norse to NIR, proven spike for spike."""

from neurodeploy.export.nir.check import ExportCheck
from neurodeploy.export.nir.front import check_export, to_nir

__all__ = ["ExportCheck", "check_export", "to_nir"]
