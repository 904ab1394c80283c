"""The shipped prompts: text files of this package, by their versions."""

from importlib.resources import files

from platform_pipelines.errors import ConfigurationError

SHIPPED = "answer_1"


def shipped_prompt(name: str) -> str:
    """A prompt's text.

    Raises:
        ConfigurationError: there is none of that name.
    """
    folder = files("platform_pipelines") / "prompts"
    file = folder / f"{name}.md"
    if not file.is_file():
        known = sorted(f.name.removesuffix(".md") for f in folder.iterdir() if f.name[-3:] == ".md")
        raise ConfigurationError(
            "there is no such prompt", where="answer.prompt", stored=name, expected=", ".join(known)
        )
    return file.read_text(encoding="utf-8")
