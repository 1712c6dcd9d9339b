"""A page to try a model in the browser; the command is ``biomedgpt serve``.

`menu` and `model_card` say what can be asked and what the model is, `pictures` draws, `page` lays
out, `server` serves. Only the last two know Gradio.
"""
