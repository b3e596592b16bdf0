"""The files that deploy the bot: valid for their tools, and in agreement with the program and with each other."""
