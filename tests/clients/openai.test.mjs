// The official Node SDK against a running gateway: LUNETTE_URL.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import OpenAI from 'openai'

const baseURL = `${process.env.LUNETTE_URL}/v1`
const client = new OpenAI({ baseURL, apiKey: 'sk-test-lunette', maxRetries: 0 })
const messages = [{ role: 'user', content: 'Xin chào' }]

test('chat: an answer, with the headers that say who answered', async () => {
  const { data, response } = await client.chat.completions.create({ model: 'good', messages }).withResponse()
  assert.equal(data.choices[0].message.content, 'Hello from good, you said: Xin chào')
  assert.equal(data.choices[0].finish_reason, 'stop')
  assert.ok(data.usage.total_tokens > 0)
  assert.equal(response.headers.get('x-lunette-target'), 'first/good')
  assert.match(response.headers.get('x-request-id'), /^req_/)
})

test('chat: a stream, to its end', async () => {
  let text = ''
  let finish
  for await (const chunk of await client.chat.completions.create({ model: 'good', messages, stream: true })) {
    text += chunk.choices[0]?.delta?.content ?? ''
    finish = chunk.choices[0]?.finish_reason ?? finish
    assert.equal(chunk.usage ?? null, null)
  }
  assert.equal(text, 'Hello from good, you said: Xin chào')
  assert.equal(finish, 'stop')
})

test('chat: a stream with usage, when asked for', async () => {
  let usage
  for await (const chunk of await client.chat.completions.create({ model: 'good', messages, stream: true, stream_options: { include_usage: true } }))
    usage = chunk.usage ?? usage
  assert.ok(usage.total_tokens > 0)
})

test('chat: a cut stream is an error, never a clean end', async () => {
  let text = ''
  await assert.rejects(async () => {
    for await (const chunk of await client.chat.completions.create({ model: 'cut', messages, stream: true })) text += chunk.choices[0]?.delta?.content ?? ''
  })
  assert.equal(text, 'half of ')
})

test('chat: the next provider answers when the first is overloaded', async () => {
  const { data, response } = await client.chat.completions.create({ model: 'failover', messages }).withResponse()
  assert.match(data.choices[0].message.content, /^Hello from good/)
  assert.equal(response.headers.get('x-lunette-fallback'), 'true')
})

test('chat: tool calls pass as they are', async () => {
  const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }]
  const answer = await client.chat.completions.create({ model: 'good', messages, tools })
  assert.equal(answer.choices[0].message.tool_calls[0].function.arguments, '{"city":"Huế"}')
})

test('completions and embeddings', async () => {
  const whole = await client.completions.create({ model: 'good', prompt: 'once' })
  assert.match(whole.choices[0].text, /^Hello from good/)
  const vectors = await client.embeddings.create({ model: 'good', input: ['a', 'b'] })
  assert.equal(vectors.data.length, 2)
  assert.equal(vectors.data[0].embedding.length, 8)
  assert.ok(vectors.data[0].embedding.every((x) => x > 0 && x <= 1))
})

test('models: the list, and one of them', async () => {
  const names = []
  for await (const model of client.models.list()) names.push(model.id)
  assert.ok(names.includes('good') && names.includes('auto') && !names.includes('private'))
  assert.equal((await client.models.retrieve('good')).id, 'good')
})

const errors = [
  ['an unknown key is an AuthenticationError', { apiKey: 'sk-nobody' }, 'good', OpenAI.AuthenticationError, 'invalid_key'],
  ['an unknown model is a NotFoundError', {}, 'goood', OpenAI.NotFoundError, 'model_not_found'],
  ['a model of others is a PermissionDeniedError', {}, 'private', OpenAI.PermissionDeniedError, 'model_not_allowed'],
  ['a provider that refuses is a BadRequestError with its words', {}, 'wrong', OpenAI.BadRequestError, 'invalid_request', /temperature must be at most 2/],
  ['a rate limit is a RateLimitError', {}, 'limited', OpenAI.RateLimitError, 'rate_limited'],
  ['no provider left is an InternalServerError', {}, 'overloaded', OpenAI.InternalServerError, 'overloaded', /too many people ask/],
  ['a deadline is an InternalServerError of its own code', {}, 'late', OpenAI.InternalServerError, 'deadline_exceeded'],
  ['a budget is an APIError with status 402', { apiKey: 'sk-test-poor' }, 'poor', OpenAI.APIError, 'budget_exceeded'],
]
for (const [name, options, model, type, code, message] of errors)
  test(`errors: ${name}`, async () => {
    const asked = new OpenAI({ baseURL, apiKey: 'sk-test-lunette', maxRetries: 0, ...options })
    await assert.rejects(asked.chat.completions.create({ model, messages }), (error) => {
      assert.ok(error instanceof type, `${error.constructor.name}: ${error.message}`)
      assert.equal(error.code, code)
      if (message) assert.match(error.message, message)
      return true
    })
  })

test('retries: what nobody was billed for is asked again, what may have been billed is not', async () => {
  const counting = (model) => {
    let calls = 0
    const retrying = new OpenAI({ baseURL, apiKey: 'sk-test-lunette', maxRetries: 1, fetch: (...a) => { calls++; return fetch(...a) } })
    return retrying.chat.completions.create({ model, messages }).then(() => calls, () => calls)
  }
  assert.equal(await counting('limited'), 2)
  assert.equal(await counting('late'), 1)
})
