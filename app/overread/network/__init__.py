"""What goes to other machines and comes from them as DICOM: associations, DICOMweb, the outbox."""
