"""What readers do to outlines: pure functions, masks in, masks out, in the series' own grid."""
