"""Sentences of the Discord adapter itself, for one person alone."""

DONE = "Done."
NOT_STOPPED = "This answer has ended already, or you may not stop it."
REALLY = "Are you sure?"
FORM_READY = "The form is ready."
OPEN_FORM = "Open the form"
FORM_GONE = "This form is no longer open. Please start again."
FORM_REFUSED = "The form cannot be shown here."
