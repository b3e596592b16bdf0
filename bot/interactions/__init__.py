"""What people do beside asking: buttons, edits of questions, commands and forms."""
