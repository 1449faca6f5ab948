"""Values and pure functions: what a study, a volume, a view and a finding are. numpy alone."""
