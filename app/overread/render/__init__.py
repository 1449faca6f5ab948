"""Volume + ViewState + Findings → pictures. No window system."""
