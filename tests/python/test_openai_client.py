#!/usr/bin/env python3
"""The real `openai` client against `hoist serve`: completions, streaming, models, errors, a cut stream.

Usage: test_openai_client.py HOIST_BINARY MODEL_FOLDER      (exit 77 when the openai package is missing)
"""

import concurrent.futures
import sys

import server_process

try:
    import openai
except ImportError:
    print("the openai package is not installed, skipped")
    sys.exit(77)

PROMPT = "Once upon a time"


def expect(error_type, call, **wanted):
    """The call must fail with this type and these attributes."""
    try:
        call()
    except error_type as error:
        for name, value in wanted.items():
            assert getattr(error, name) == value, f"{name}: {getattr(error, name)!r}, expected {value!r} in {error}"
        return error
    raise AssertionError(f"expected {error_type.__name__}")


def check_models(client):
    models = list(client.models.list())
    assert len(models) == 1 and models[0].object == "model" and models[0].max_model_len > 0, models
    assert client.models.retrieve(models[0].id).id == models[0].id
    return models[0].id


def check_completion(client, model):
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0, seed=1)
    choice = answer.choices[0]
    assert answer.object == "text_completion" and answer.model == model, answer
    assert choice.text and choice.index == 0 and choice.finish_reason in ("stop", "length"), choice
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert 0 < answer.usage.completion_tokens <= 24, answer.usage
    echoed = client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0, echo=True)
    assert echoed.choices[0].text == PROMPT + choice.text, echoed
    return answer


def counts(usage):
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens


def check_stream(client, model, whole):
    chunks = list(client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0, seed=1, stream=True,
                                            stream_options={"include_usage": True}))
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].text, (text, whole.choices[0].text)
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert reasons[-1] == whole.choices[0].finish_reason and set(reasons[:-1]) <= {None}, reasons
    # The counts are equal; how much of the prompt was found in the cache is not: this prompt has been here before.
    assert chunks[-1].choices == [] and counts(chunks[-1].usage) == counts(whole.usage), chunks[-1]
    assert len(chunks) > 3


def check_stop(client, model, whole):
    text = whole.choices[0].text
    stop = text[len(text) // 2 : len(text) // 2 + 3]
    cut = client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0, stop=[stop, "\0never"])
    assert cut.choices[0].text == text[: text.index(stop)], (cut.choices[0].text, stop)
    assert cut.choices[0].finish_reason == "stop"
    streamed = client.completions.create(model=model, prompt=PROMPT, max_tokens=24, temperature=0, stop=stop, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == cut.choices[0].text


def check_batches(client, model):
    """Neighbours in a batch change nothing; a seed fixes the text."""
    prompts = [PROMPT, "The cat", "One day"]
    options = {"max_tokens": 16, "temperature": 0.9, "top_p": 0.9, "seed": 7}
    together = client.completions.create(model=model, prompt=prompts, **options)
    assert [choice.index for choice in together.choices] == [0, 1, 2]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        alone = list(pool.map(lambda p: client.completions.create(model=model, prompt=p, **options), prompts))
    for one, choice in zip(alone, together.choices):
        assert one.choices[0].text == choice.text, (one.choices[0].text, choice.text)


def check_extra_fields(client, model):
    extra = {"top_k": 5, "min_p": 0.05, "repeat_penalty": 1.1}
    assert client.completions.create(model=model, prompt=PROMPT, max_tokens=4, extra_body=extra).choices[0].text is not None


def check_errors(client, model):
    create = client.completions.create
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, temperature=-1), param="temperature")
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, n=2), param="n", code="unsupported")
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, extra_body={"typo": 1}), param="typo")
    expect(openai.BadRequestError, lambda: create(model=model, prompt="word " * 50000), code="context_length_exceeded")
    expect(openai.NotFoundError, lambda: create(model="other", prompt=PROMPT), code="model_not_found")
    expect(openai.NotFoundError, lambda: client.models.retrieve("other"), code="model_not_found")
    messages = [{"role": "user", "content": "hello"}]
    error = expect(openai.InternalServerError, lambda: client.chat.completions.create(model=model, messages=messages),
                   status_code=501)
    assert "template" in str(error)


def check_leaving(client, model):
    """A stream that is closed half-way leaves the server ready."""
    stream = client.completions.create(model=model, prompt=PROMPT, max_tokens=200, stream=True)
    next(iter(stream))
    stream.close()
    client.completions.create(model=model, prompt=PROMPT, max_tokens=1)


def main():
    model_folder = sys.argv[2] if len(sys.argv) > 2 else None
    if server_process.missing(model_folder):
        return 77
    with server_process.serving(sys.argv[1], model_folder) as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=120)
        model = check_models(client)
        whole = check_completion(client, model)
        check_stream(client, model, whole)
        check_stop(client, model, whole)
        check_batches(client, model)
        check_extra_fields(client, model)
        check_errors(client, model)
        check_leaving(client, model)
        client.close()
    print("ok: the openai client", openai.__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
