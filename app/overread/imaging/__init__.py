"""Geometry done with voxels: normalising, components, measuring, drawing, phantoms."""
