"""DICOM in and out: folders to studies, stacks to volumes, findings to SEG and SR."""
