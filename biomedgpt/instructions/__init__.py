"""What instruction tuning needs beside the task: other datasets mixed in, balanced epochs."""
