"""What of an answer is scored: replies read as Markdown, programs as Python, texts as they are alike."""
