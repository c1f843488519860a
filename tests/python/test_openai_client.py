#!/usr/bin/env python3
"""The real `openai` client against `hoist serve`: completions, chats, streaming, formats, tools, models, errors, a cut
stream.

Usage: test_openai_client.py HOIST_BINARY MODEL_FOLDER      (exit 77 when the openai package is missing)
"""

import concurrent.futures
import contextlib
import json
import pathlib
import sys
import tempfile
import urllib.request

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
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, n=500), param="n")
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, best_of=2), param="best_of", code="unsupported")
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, extra_body={"regex": "("}), param="regex")
    expect(openai.BadRequestError, lambda: create(model=model, prompt=PROMPT, extra_body={"typo": 1}), param="typo")
    expect(openai.BadRequestError, lambda: create(model=model, prompt="word " * 50000), code="context_length_exceeded")
    expect(openai.NotFoundError, lambda: create(model="other", prompt=PROMPT), code="model_not_found")
    expect(openai.NotFoundError, lambda: client.models.retrieve("other"), code="model_not_found")
    messages = [{"role": "user", "content": "hello"}]
    error = expect(openai.InternalServerError, lambda: client.chat.completions.create(model=model, messages=messages),
                   status_code=501)
    assert "template" in str(error)


def check_sampling(client, model, whole):
    """Choices, biases, penalties, log-probabilities and timings."""
    create = client.completions.create
    several = create(model=model, prompt=PROMPT, max_tokens=8, n=3, seed=5)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    alone = create(model=model, prompt=PROMPT, max_tokens=8, seed=7)
    assert several.choices[2].text == alone.choices[0].text, "choice i draws with seed + i"
    assert several.usage.prompt_tokens == alone.usage.prompt_tokens
    listed = create(model=model, prompt=PROMPT, max_tokens=24, temperature=0, logprobs=2)
    choice = listed.choices[0]
    assert choice.text == whole.choices[0].text and "".join(choice.logprobs.tokens) == choice.text, choice
    for token, value, top in zip(choice.logprobs.tokens, choice.logprobs.token_logprobs, choice.logprobs.top_logprobs):
        assert value <= 0 and top[token] == value == max(top.values()), (token, value, top)
    assert listed.timings["predicted_n"] == listed.usage.completion_tokens and listed.timings["predicted_ms"] >= 0
    plain = create(model=model, prompt=PROMPT, max_tokens=40, temperature=0)
    other = create(model=model, prompt=PROMPT, max_tokens=40, temperature=0, frequency_penalty=2, presence_penalty=2)
    assert plain.choices[0].text != other.choices[0].text
    token = post(client, "/tokenize", {"content": "the"})["tokens"][0]
    biased = create(model=model, prompt=PROMPT, max_tokens=3, temperature=0, logit_bias={str(token): 100})
    assert biased.choices[0].text == post(client, "/detokenize", {"tokens": [token] * 3})["content"] or \
        biased.choices[0].text.strip() == post(client, "/detokenize", {"tokens": [token] * 3})["content"].strip()


def check_prompt_logprobs(client, model):
    """Likelihoods of given continuations, asked for as evaluation harnesses do: token ids, echo, logprobs."""
    create = client.completions.create
    prompt = post(client, "/tokenize", {"content": PROMPT, "add_special": True})["tokens"]
    said = create(model=model, prompt=prompt, max_tokens=8, temperature=0, logprobs=1).choices[0]
    greedy = post(client, "/tokenize", {"content": PROMPT + said.text, "add_special": True})["tokens"]
    assert greedy[: len(prompt)] == prompt, (greedy, prompt)
    other = prompt + [greedy[-1]] * 4
    for most in (0, 1):
        answer = create(model=model, prompt=[greedy, other], echo=True, max_tokens=most, logprobs=1, temperature=0)
        assert answer.usage.completion_tokens == 2 * most
        for ids, choice in zip((greedy, other), answer.choices, strict=True):
            listed = choice.logprobs
            assert len(listed.tokens) == len(listed.token_logprobs) == len(listed.text_offset) == len(ids) + most
            assert listed.token_logprobs[0] is None and listed.top_logprobs[0] is None
            assert "".join(listed.tokens) == choice.text, (listed.tokens, choice.text)
            assert all(choice.text[at:].startswith(token) for at, token in zip(listed.text_offset, listed.tokens))
        values, tops = (getattr(answer.choices[0].logprobs, name)[len(prompt) : len(greedy)]
                        for name in ("token_logprobs", "top_logprobs"))
        if len(greedy) == len(prompt) + 8:  # the text was cut into the same tokens again
            assert values == said.logprobs.token_logprobs, "the bits are those of generation"
        assert all(value == max(top.values()) for value, top in zip(values, tops))
    texts = create(model=model, prompt=PROMPT, echo=True, max_tokens=1, logprobs=1).choices[0]
    for at, token in list(zip(texts.logprobs.text_offset, texts.logprobs.tokens))[-len(prompt) + 1 :]:
        assert texts.text[at:].startswith(token) or texts.text[at:].startswith(token[1:]) and at == 0, (at, token)
    chunks = list(create(model=model, prompt=greedy, echo=True, max_tokens=1, logprobs=1, temperature=0, stream=True))
    values = [x for c in chunks for choice in c.choices if choice.logprobs for x in choice.logprobs.token_logprobs]
    assert values == answer.choices[0].logprobs.token_logprobs, values
    listed = create(model=model, prompt=PROMPT, max_tokens=1, extra_body={"prompt_logprobs": 2}).choices[0].prompt_logprobs
    assert listed[0] is None and len(listed) == len(prompt)
    for entry, token in zip(listed[1:], prompt[1:], strict=True):
        assert len(entry) in (2, 3) and entry[str(token)]["rank"] >= 1 and entry[str(token)]["logprob"] < 0
    error = expect(openai.InternalServerError, lambda: client.with_options(base_url=str(client.base_url).replace("/v1", "")).post(
        "/infill", body={"input_prefix": "a", "input_suffix": "b"}, cast_to=object), status_code=501)
    assert "fill in" in str(error), error


def post(client, path, body):
    url = str(client.base_url).removesuffix("/v1/").removesuffix("/v1") + path
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "minimum": 0},
                   "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 3}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "find", "description": "Finds a cat", "parameters": SCHEMA}}]
TEMPLATE = """{{ bos_token }}{% if tools %}<tool_call>{{ tools | tojson }}</tool_call>
{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}
{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"""


def check_value(text):
    value = json.loads(text)
    assert set(value) <= set(SCHEMA["properties"]) and {"name", "age"} <= set(value), value
    assert isinstance(value["name"], str) and len(value["name"]) <= 12, value
    assert isinstance(value["age"], int) and value["age"] >= 0, value
    assert all(tag in "ab" for tag in value.get("tags", [])), value


def check_formats(client, model):
    """Whatever the seed and the cap, the answer is a value of the schema."""
    for seed in range(12):
        answer = client.chat.completions.create(
            model=model, messages=[{"role": "user", "content": "A cat, please."}], seed=seed, max_tokens=60 + 10 * seed,
            response_format={"type": "json_schema", "json_schema": {"name": "cat", "schema": SCHEMA, "strict": True}})
        check_value(answer.choices[0].message.content)
    answer = client.completions.create(model=model, prompt=PROMPT, max_tokens=20, extra_body={"regex": "(yes|no)!"})
    assert answer.choices[0].text in ("yes!", "no!"), answer
    expect(openai.BadRequestError, lambda: client.chat.completions.create(
        model=model, messages=[{"role": "user", "content": "a"}],
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": {"not": {}}}}),
        param="response_format")


def check_chat(client, model):
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    create = client.chat.completions.create
    whole = create(model=model, messages=messages, max_completion_tokens=20, temperature=0, logprobs=True, top_logprobs=2)
    choice = whole.choices[0]
    assert whole.object == "chat.completion" and choice.message.role == "assistant" and choice.message.content, whole
    assert len(choice.logprobs.content) == whole.usage.completion_tokens, choice
    assert len(choice.logprobs.content[0].top_logprobs) == 2
    chunks = list(create(model=model, messages=messages, max_completion_tokens=20, temperature=0, stream=True,
                         stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    assert text == choice.message.content, (text, choice.message.content)
    assert chunks[-2].choices[0].finish_reason == choice.finish_reason
    assert counts(chunks[-1].usage) == counts(whole.usage) and chunks[-1].choices == []
    rendered = post(client, "/apply-template", {"messages": messages})["prompt"]
    assert rendered.endswith("system: Be kind.\nuser: Hello\nassistant:"), rendered
    counted = post(client, "/tokenize", {"messages": messages})
    assert counted["count"] == whole.usage.prompt_tokens, counted
    expect(openai.BadRequestError, lambda: create(model=model, messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:,"}}]}]), param="messages")


def check_tools(client, model):
    messages = [{"role": "user", "content": "Find the cat."}]
    for choice in ("required", {"type": "function", "function": {"name": "find"}}):
        options = {"model": model, "messages": messages, "tools": TOOLS, "tool_choice": choice, "max_tokens": 250,
                   "parallel_tool_calls": False, "seed": 3}
        answer = client.chat.completions.create(**options).choices[0]
        assert answer.finish_reason == "tool_calls" and answer.message.content is None, answer
        call = answer.message.tool_calls[0]
        assert call.type == "function" and call.function.name == "find" and call.id, call
        check_value(call.function.arguments)
        name, arguments = "", ""
        for chunk in client.chat.completions.create(**options, stream=True):
            for delta in chunk.choices[0].delta.tool_calls or []:
                name += delta.function.name or ""
                arguments += delta.function.arguments or ""
        assert (name, arguments) == ("find", call.function.arguments), (name, arguments)


def check_description(client):
    url = str(client.base_url).removesuffix("/v1/").removesuffix("/v1") + "/openapi.json"
    with urllib.request.urlopen(url, timeout=60) as answer:
        paths = json.load(answer)["paths"]
    assert {"/v1/completions", "/v1/chat/completions", "/tokenize", "/infill", "/openapi.json"} <= set(paths), paths.keys()


@contextlib.contextmanager
def with_template(folder):
    """The same model with a chat template."""
    with tempfile.TemporaryDirectory() as copy:
        for file in pathlib.Path(folder).resolve().iterdir():
            (pathlib.Path(copy) / file.name).symlink_to(file)
        (pathlib.Path(copy) / "chat_template.jinja").write_text(TEMPLATE)
        yield copy


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
        check_prompt_logprobs(client, model)
        check_sampling(client, model, whole)
        check_description(client)
        check_leaving(client, model)
        client.close()
    with with_template(model_folder) as folder, server_process.serving(sys.argv[1], folder) as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0, timeout=120)
        model = check_models(client)
        check_chat(client, model)
        check_formats(client, model)
        check_tools(client, model)
        client.close()
    print("ok: the openai client", openai.__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
