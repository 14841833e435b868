"""The official Python SDK against a running gateway: LUNETTE_URL. Prints TAP."""
import asyncio
import os
import sys
import unittest

import openai
from openai import AsyncOpenAI, OpenAI

BASE = os.environ["LUNETTE_URL"] + "/v1"
MESSAGES = [{"role": "user", "content": "Xin chào"}]


def client(key="sk-test-lunette", retries=0):
    return OpenAI(base_url=BASE, api_key=key, max_retries=retries)


class Chat(unittest.TestCase):
    def test_an_answer_with_the_headers_that_say_who_answered(self):
        raw = client().chat.completions.with_raw_response.create(model="good", messages=MESSAGES)
        self.assertEqual(raw.headers["x-lunette-provider"], "first")
        answer = raw.parse()
        self.assertEqual(answer.choices[0].message.content, "Hello from good, you said: Xin chào")
        self.assertGreater(answer.usage.total_tokens, 0)

    def test_a_stream_to_its_end(self):
        chunks = list(client().chat.completions.create(model="good", messages=MESSAGES, stream=True))
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        self.assertEqual(text, "Hello from good, you said: Xin chào")
        self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")
        self.assertTrue(all(c.usage is None for c in chunks))

    def test_a_stream_with_usage_when_asked_for(self):
        chunks = list(client().chat.completions.create(model="good", messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
        self.assertGreater(chunks[-1].usage.total_tokens, 0)

    def test_many_streams_at_once(self):
        async def one(asking, i):
            stream = await asking.chat.completions.create(model="good", messages=[{"role": "user", "content": f"n{i}"}], stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        async def all_of_them():
            async with AsyncOpenAI(base_url=BASE, api_key="sk-test-lunette", max_retries=0) as asking:
                return await asyncio.gather(*(one(asking, i) for i in range(50)))

        self.assertEqual(asyncio.run(all_of_them()), [f"Hello from good, you said: n{i}" for i in range(50)])

    def test_a_cut_stream_is_an_error_never_a_clean_end(self):
        text = []
        with self.assertRaises(openai.APIError):
            for chunk in client().chat.completions.create(model="cut", messages=MESSAGES, stream=True):
                text.append(chunk.choices[0].delta.content or "")
        self.assertEqual("".join(text), "half of ")

    def test_the_next_provider_answers_when_the_first_is_overloaded(self):
        answer = client().chat.completions.create(model="failover", messages=MESSAGES)
        self.assertTrue(answer.choices[0].message.content.startswith("Hello from good"))

    def test_tool_calls_pass_as_they_are(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
        answer = client().chat.completions.create(model="good", messages=MESSAGES, tools=tools)
        self.assertEqual(answer.choices[0].message.tool_calls[0].function.arguments, '{"city":"Huế"}')


class Others(unittest.TestCase):
    def test_completions_and_embeddings(self):
        self.assertTrue(client().completions.create(model="good", prompt="once").choices[0].text.startswith("Hello from good"))
        vectors = client().embeddings.create(model="good", input=["a", "b"])
        self.assertEqual([len(v.embedding) for v in vectors.data], [8, 8])
        self.assertTrue(all(0 < x <= 1 for x in vectors.data[0].embedding))

    def test_models(self):
        names = [m.id for m in client().models.list()]
        self.assertIn("good", names)
        self.assertNotIn("private", names)
        self.assertEqual(client().models.retrieve("good").id, "good")


class Errors(unittest.TestCase):
    def refused(self, model, kind, code, key="sk-test-lunette", words=""):
        with self.assertRaises(kind) as caught:
            client(key).chat.completions.create(model=model, messages=MESSAGES)
        self.assertEqual(caught.exception.code, code)
        self.assertEqual(caught.exception.request_id, caught.exception.body["request_id"])
        self.assertIn(words, str(caught.exception))

    def test_an_unknown_key(self):
        self.refused("good", openai.AuthenticationError, "invalid_key", key="sk-nobody")

    def test_an_unknown_model(self):
        self.refused("goood", openai.NotFoundError, "model_not_found", words="good")

    def test_a_model_of_others(self):
        self.refused("private", openai.PermissionDeniedError, "model_not_allowed")

    def test_a_provider_that_refuses_with_its_words(self):
        self.refused("wrong", openai.BadRequestError, "invalid_request", words="temperature must be at most 2")

    def test_a_rate_limit(self):
        self.refused("limited", openai.RateLimitError, "rate_limited")

    def test_no_provider_left(self):
        self.refused("overloaded", openai.InternalServerError, "overloaded", words="too many people ask")

    def test_a_deadline(self):
        self.refused("late", openai.InternalServerError, "deadline_exceeded")

    def test_a_budget(self):
        with self.assertRaises(openai.APIStatusError) as caught:
            client("sk-test-poor").chat.completions.create(model="poor", messages=MESSAGES)
        self.assertEqual(caught.exception.status_code, 402)
        self.assertEqual(caught.exception.code, "budget_exceeded")
        self.assertEqual(caught.exception.body["budget"], "key poor")


class Tap(unittest.TextTestResult):
    def addSuccess(self, test):
        super().addSuccess(test)
        print("ok -", test.id(), flush=True)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        print("not ok -", test.id(), flush=True)

    def addError(self, test, err):
        super().addError(test, err)
        print("not ok -", test.id(), flush=True)


if __name__ == "__main__":
    result = unittest.TextTestRunner(stream=sys.stderr, resultclass=Tap).run(unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__]))
    sys.exit(not result.wasSuccessful())
