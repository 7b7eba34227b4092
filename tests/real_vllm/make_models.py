"""What do the real servers serve? Three tiny models with random weights: chat, embedding, reranker.

`make_models.py FOLDER` runs inside the venv that up.sh makes. Nothing is downloaded: the tokenizers are trained on a
made-up corpus, and the weights follow from the seed. The models write nonsense; the API around them is vLLM's own.
"""

import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import torch  # type: ignore[import-not-found]  # installed only in the venv of up.sh
from tokenizers import (  # type: ignore[import-not-found]  # the same
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (  # type: ignore[import-not-found]  # the same
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    XLMRobertaConfig,
    XLMRobertaForSequenceClassification,
    XLMRobertaModel,
)

SEED = 7
VOCABULARY = 1000
PROSE = (
    "the a of to and in is for with on that this model gateway server request answer token stream text query table "
    "select from where group by order limit count sum avg join left customer orders invoice total name date city "
    "user assistant system tool function call weather price list json true false null hello world what how many "
    "найди выбери таблица запрос ответ модель привет мир как сколько данные клиент заказ сумма город дата имя"
)
WORDS = PROSE.split()

# The template of Qwen2.5 in miniature: the same markers, the same <tools> and <tool_call> blocks (hermes).
CHAT_TEMPLATE = r"""{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0]['role'] == 'system' %}{{- messages[0]['content'] }}{%- else %}{{- 'You are a helpful assistant.' }}{%- endif %}
    {{- "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\nYou are provided with function signatures within <tools></tools> XML tags:\n<tools>" }}
    {%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\n</tools>\n\nFor each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %}{{- '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role }}
        {%- if message.content %}{{- '\n' + message.content }}{%- endif %}
        {%- for tool_call in message.tool_calls %}
            {%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '\n<tool_call>\n{"name": "' }}{{- tool_call.name }}{{- '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\n<tool_response>\n' }}{{- message.content }}{{- '\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
"""  # noqa: E501 - a template's line breaks are part of its output


def corpus() -> list[str]:
    """Ten thousand lines of made-up prose, SQL and JSON for the tokenizers to learn from."""
    rnd = random.Random(SEED)  # noqa: S311 - the same models on every machine, no secret
    word, number = partial(rnd.choice, WORDS), partial(rnd.randrange, 10_000)
    prose = [" ".join(rnd.choices(WORDS, k=rnd.randint(4, 24))) + rnd.choice(".!?;,\n") for _ in range(6000)]
    sql = [
        f"SELECT {word()}, COUNT(*) FROM {word()} WHERE {word()} = {number()} GROUP BY {word()};"  # noqa: S608 - text to learn from, never run
        for _ in range(2000)
    ]
    calls = [f'{{"name": "{word()}", "arguments": {{"{word()}": {number()}}}}}' for _ in range(2000)]
    return prose + sql + calls


def write_json(path: Path, value: Any) -> None:
    """Write `value` indented, as transformers does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(value), indent=1))


def chat_tokenizer(path: Path) -> Any:
    """Byte-level BPE with Qwen's special tokens; saves it and returns the tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=[], initial_alphabet=alphabet)
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        model_max_length=32768,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    fast.save_pretrained(path)
    return fast


def make_chat(path: Path) -> None:
    """A two-layer Qwen2 with the generation defaults that Qwen2.5-Instruct ships."""
    tokenizer = chat_tokenizer(path)
    size = len(tokenizer)
    bos, im_start, eos = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    config = Qwen2Config(
        vocab_size=(size + 63) // 64 * 64,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        bos_token_id=bos,
        eos_token_id=eos,
        tie_word_embeddings=True,
        dtype="float32",
    )
    model = Qwen2ForCausalLM(config).float()
    # Rows of zeros in the tied head: padding is never sampled, and an answer never ends before max_tokens by greed.
    with torch.no_grad():
        for row in [*range(size, config.vocab_size), bos, im_start, eos]:
            model.model.embed_tokens.weight[row].zero_()
    model.save_pretrained(path)
    defaults = {"do_sample": True, "repetition_penalty": 1.05, "temperature": 0.7, "top_p": 0.8, "top_k": 20}
    ids = {"bos_token_id": bos, "eos_token_id": [eos, bos], "pad_token_id": bos}
    write_json(path / "generation_config.json", ids | defaults)


def encoder_tokenizer(path: Path) -> Any:
    """Unigram with XLM-RoBERTa's special tokens and pair template; saves it and returns the tokenizer."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        corpus(), trainers.UnigramTrainer(vocab_size=VOCABULARY, special_tokens=special, unk_token="<unk>")
    )
    tokenizer.add_special_tokens(["<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        cls_token="<s>",
        unk_token="<unk>",
        pad_token="<pad>",
        mask_token="<mask>",
        model_max_length=8192,
    )
    fast.save_pretrained(path)
    return fast


def encoder_config(tokenizer: Any, **more: Any) -> Any:
    """A two-layer XLM-RoBERTa for texts of up to 8,192 tokens."""
    return XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=8194,
        type_vocab_size=1,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        layer_norm_eps=1e-5,
        initializer_range=0.2,
        dtype="float32",
        **more,
    )


def restore_position_type(path: Path) -> None:
    """Put back a key that real checkpoints have and vLLM 0.32 reads, but transformers 5 drops on saving."""
    config = path / "config.json"
    write_json(config, msgspec.json.decode(config.read_bytes()) | {"position_embedding_type": "absolute"})


def make_embed(path: Path) -> None:
    """An embedding model in the layout of sentence-transformers: CLS pooling, then normalisation."""
    tokenizer = encoder_tokenizer(path)
    XLMRobertaModel(encoder_config(tokenizer), add_pooling_layer=True).float().save_pretrained(path)
    restore_position_type(path)
    steps = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
    write_json(
        path / "modules.json",
        [
            {"idx": index, "name": str(index), "path": folder, "type": f"sentence_transformers.models.{kind}"}
            for index, (folder, kind) in enumerate(steps)
        ],
    )
    modes = {"cls_token": True, "mean_tokens": False, "max_tokens": False, "mean_sqrt_len_tokens": False}
    pooling = {f"pooling_mode_{mode}": on for mode, on in modes.items()}
    write_json(path / "1_Pooling" / "config.json", {"word_embedding_dimension": 64} | pooling)
    write_json(path / "sentence_bert_config.json", {"max_seq_length": 8192, "do_lower_case": False})


def make_rerank(path: Path) -> None:
    """A cross-encoder with one label, as the bge rerankers are."""
    config = encoder_config(encoder_tokenizer(path), num_labels=1, id2label={0: "LABEL_0"}, label2id={"LABEL_0": 0})
    XLMRobertaForSequenceClassification(config).float().save_pretrained(path)
    restore_position_type(path)


def main(folder: Path) -> None:
    """Make all three below `folder`."""
    torch.manual_seed(SEED)
    make_chat(folder / "chat")
    make_embed(folder / "embed")
    make_rerank(folder / "rerank")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
