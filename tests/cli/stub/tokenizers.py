"""Stands for the package tokenizers where scripts/prepare_hf.py is tested: as many of its calls as that makes, of a
tokenizer that makes a token of each byte. The file that it reads holds {"end_of_text": NAME, "rows": VOCABULARY}. A
document with the word "interrupt" stops the whole as Ctrl-C does, the first time; one with "killed" ends its process as
the system does where memory runs out; one with "slow" takes its time."""
import json
import os
import signal
import time

MARK = os.path.join(os.environ.get("PREPARE_TEST", "."), "interrupted")


class Encoding:
    def __init__(self, ids):
        self.ids = ids


class Tokenizer:
    encode_special_tokens = False

    @classmethod
    def from_file(cls, path):
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
        tokenizer = cls()
        tokenizer.settings = settings
        tokenizer.vocabulary = {settings["end_of_text"]: 256, "last": settings["rows"] - 1}
        return tokenizer

    def no_truncation(self):
        pass

    def no_padding(self):
        pass

    def to_str(self):
        return json.dumps(self.settings)

    def token_to_id(self, name):
        return self.vocabulary.get(name)

    def get_vocab(self, with_added_tokens):
        return self.vocabulary if with_added_tokens else {}

    def encode_batch(self, documents, add_special_tokens):
        if add_special_tokens or not self.encode_special_tokens:
            raise ValueError("documents are text alone")
        if sum(len(document) for document in documents) > 2 << 20:
            raise ValueError("more than should be encoded at a time")
        for document in documents:
            if "killed" in document and not os.path.exists(MARK):
                open(MARK, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            if "slow" in document:
                time.sleep(3)
            if "interrupt" in document and not os.path.exists(MARK):
                open(MARK, "w").close()
                os.kill(os.getppid(), signal.SIGINT)
                time.sleep(60)
        return [Encoding(list(document.encode())) for document in documents]
