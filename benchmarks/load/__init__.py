"""Many live answers, and the program at true speed."""
