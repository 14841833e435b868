// No tokenizer may count more than the gateway's bound, and its estimate has to be near what they count. What the gateway reckons comes from its own
// code: tests/tokens/reckon.c, linked with it ($RECKON).
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { chance, hostile, natural } from './corpus.mjs';
import { forms, openai, pure, tokenizers } from './tokenizers.mjs';

const seed = Number(process.env.TOKENS_SEED || 6), texts_of_a_kind = Number(process.env.TOKENS_TEXTS || 60);
const say = line => console.log(`# ${line}`);

// [{ bound, guess } or { unknown }] for [{ endpoint, body, model }].
function reckon(asked) {
    const lines = asked.map(a => `${a.endpoint || 'chat'}\t${a.model || 'm'}\t${typeof a.body === 'string' ? a.body : JSON.stringify(a.body)}\n`);
    const run = spawnSync(process.env.RECKON, { input: lines.join(''), maxBuffer: 1 << 28 });
    assert.equal(run.status, 0, String(run.stderr));
    const answers = String(run.stdout).trimEnd().split('\n');
    assert.equal(answers.length, asked.length);
    return answers.map(line => {
        if (line.startsWith('unknown: ')) return { unknown: line.slice(9) };
        const [bound, guess] = line.split(' ').map(Number);
        return { bound, guess };
    });
}

// A string as JSON may write it: as it is, with all that is beyond ASCII escaped, or with escapes here and there.
const hex = n => n.toString(16).padStart(4, '0');
const writings = [
    text => JSON.stringify(text),
    text => JSON.stringify(text).replace(/[\u0080-\uffff]/g, c => `\\u${hex(c.charCodeAt(0))}`),
    (text, random) => `"${[...text].map(c => random() < 0.5 ? c.split('').map(u => `\\u${hex(u.charCodeAt(0)).toUpperCase()}`).join('') : JSON.stringify(c).slice(1, -1)).join('')}"`,
];

const drawn = (() => {
    const random = chance(seed), list = [];
    for (const [kind, make] of Object.entries({ ...natural, ...hostile })) {
        const text = make(1);
        for (let i = 0; i < texts_of_a_kind; i++) list.push({ kind, text: text(random.of([1, 10, 80, 300, 900]), random).toWellFormed() });
    }
    return list;
})();
for (const d of drawn) d.counts = Object.fromEntries(Object.entries(tokenizers).map(([name, count]) => [name, count(d.text)]));

// What the text by itself adds to the bound of a request, so that nothing hides in what is added for the request as a whole. SentencePiece begins a text
// with a blank of its own: one token more, which PER_MESSAGE holds.
test('no tokenizer counts more of a text than it adds to the bound, however it is written', () => {
    const random = chance(seed + 1);
    const chat = written => ({ body: `{"model":"m","messages":[{"role":"user","content":${written}}]}` });
    const [empty] = reckon([chat('""')]);
    const worst = {};
    for (const writing of writings) {
        const reckoned = reckon(drawn.map(d => chat(writing(d.text, random))));
        drawn.forEach((d, i) => {
            const most = reckoned[i].bound - empty.bound;
            for (const [name, count] of Object.entries(d.counts)) {
                const more = name.startsWith('llama 2') ? 1 : 0;
                assert.ok(count <= most + more, `${name} counts ${count} tokens, the bound is ${most}: ${d.kind}: ${JSON.stringify(d.text)}`);
                if (!forms[name] && most > 20 && count / most > (worst[name]?.[0] || 0)) worst[name] = [count / most, d.kind];
            }
        });
    }
    say(`${drawn.length} texts of ${new Set(drawn.map(d => d.kind)).size} kinds, written in ${writings.length} ways, ${Object.keys(tokenizers).length} counts of each`);
    for (const [name, [ratio, kind]] of Object.entries(worst)) say(`most tokens for the bound: ${name}: ${ratio.toFixed(3)} (${kind})`);
});

test('the pure JavaScript encodings count the same', async () => {
    const random = chance(seed + 2), some = drawn.filter(() => random() < 0.1);
    for (const name of openai.filter(n => n !== 'gpt2')) {
        const count = await pure(name);
        for (const d of some) assert.equal(count(d.text), d.counts[name], `${name}: ${JSON.stringify(d.text)}`);
    }
});

// ---- whole requests ----

const text_of = random => random.of(drawn).text;
const name_of = random => random.of(['get_weather', 'f', 'search_the_web', 'x1', 'lưu_đơn_hàng', 'ﷺ']);
const schema = (random, depth = 0) => {
    const pick = random.below(depth > 4 ? 3 : 6), extra = random() < 0.5 ? { description: text_of(random).slice(0, 80).toWellFormed() } : {};
    if (pick === 0) return { type: 'string', ...extra };
    if (pick === 1) return { type: 'number', enum: random.some(9, () => random.below(10)), ...extra };
    if (pick === 2) return { type: 'string', enum: random.some(6, () => name_of(random)), ...extra };
    if (pick === 3) return { type: 'array', items: schema(random, depth + 1) };
    return { type: 'object', properties: Object.fromEntries(random.some(4, (_, i) => [name_of(random) + i, schema(random, depth + 1)])), required: ['x1'], ...extra };
};
const nested = (random, depth) => depth ? [nested(random, depth - 1), ...random.some(12, () => 1)] : [1, 2];
const tool = random => ({ type: 'function', function: { name: name_of(random), description: text_of(random).slice(0, 200).toWellFormed(),
    parameters: random() < 0.1 ? { enum: nested(random, 40) } : schema(random) } });
const call = random => ({ id: `call_${random.below(1e9)}`, type: 'function', function: { name: name_of(random), arguments: JSON.stringify(Object.fromEntries(random.some(4, (_, i) => [name_of(random) + i, random.of([1, [1, 2, 3], text_of(random).slice(0, 60).toWellFormed()])]))) } });

function message(random) {
    const pick = random.below(8);
    if (pick === 0) return { role: 'system', content: text_of(random) };
    if (pick === 1) return { role: 'assistant', content: null, tool_calls: random.some(3, () => call(random)) };
    if (pick === 2) return { role: 'tool', tool_call_id: 'call_1', content: text_of(random) };
    if (pick === 3) return { role: 'user', name: name_of(random), content: text_of(random) };
    if (pick === 4) return { role: 'user', content: random.some(4, () => ({ type: 'text', text: text_of(random) })) };
    if (pick === 5) return { role: 'function', name: name_of(random), content: text_of(random) };
    if (pick === 6) return { role: 'assistant', content: text_of(random), function_call: { name: name_of(random), arguments: '{"a":[1,2]}' } };
    return { role: 'user', content: text_of(random) };
}

// How a template may put definitions into the prompt: OpenAI's are written as TypeScript, Llama's as JSON on lines of their own, others as JSON in which
// all beyond ASCII, and <, > and & are escaped.
const escaped = json => json.replace(/[\u0080-\uffff<>&']/g, c => `\\u${hex(c.charCodeAt(0))}`);
const typed = (s, pad) => s?.type === 'object' ? `{\n${Object.entries(s.properties || {}).map(([k, v]) => `${pad}// ${v.description || ''}\n${pad}${k}?: ${typed(v, `${pad}  `)},\n`).join('')}${pad}}`
    : s?.enum ? s.enum.map(v => JSON.stringify(v)).join(' | ') : s?.type === 'array' ? `${typed(s.items, pad)}[]` : String(s?.type);
const spaced = value => JSON.stringify(value, null, 1).replace(/\n */g, ' ');
const indented = ['cl100k_base', 'o200k_base', 'claude 2 (NFKC)', 'llama 2 (SentencePiece)', 'llama 3'];       // older ones make a token of each blank, and know no tools
const renderings = {
    'JSON': v => JSON.stringify(v), 'JSON with blanks': spaced, 'JSON, indented by 4': v => JSON.stringify(v, null, 4), 'JSON, escaped': v => escaped(spaced(v)),
    'JSON, indented and escaped': v => escaped(JSON.stringify(v, null, 4)),
    'TypeScript': v => [v].flat().map(t => t.function ? `// ${t.function.description}\ntype ${t.function.name} = (_: ${typed(t.function.parameters, '')}) => any;\n` : spaced(t)).join('\n'),
};

// What a request comes to: OpenAI's own way of counting messages (3 for each, one for a name, 3 for the answer's beginning), with definitions, calls
// and schemas as that template writes them (and 12 for each, 16 for all of them).
function tokens_of(body, count, render) {
    const structured = value => value === undefined || value === null ? 0 : count(render(value)) + 12 * [value].flat().length;
    const content = c => c === null || c === undefined ? 0 : typeof c === 'string' ? count(c) : c.reduce((n, part) => n + count(part.text), 0);
    let n = 3;
    for (const m of body.messages) {
        n += 3 + count(m.role) + content(m.content) + (m.name ? 1 + count(m.name) : 0) + (m.tool_call_id ? count(m.tool_call_id) : 0);
        n += structured(m.tool_calls?.map(c => ({ name: c.function.name, arguments: JSON.parse(c.function.arguments) }))) + structured(m.function_call);
    }
    if (body.tools) n += 16 + structured(body.tools);
    if (body.functions) n += 16 + structured(body.functions.map(f => ({ function: f })));
    return n + structured(body.response_format) + (body.system ? count(body.system) + 3 : 0);
}

test('no tokenizer counts more of a whole request than its bound', () => {
    const random = chance(seed + 3), real = Object.keys(tokenizers).filter(n => !forms[n]);
    const bodies = Array.from({ length: Number(process.env.TOKENS_REQUESTS || 60) }, () => ({ model: 'm', messages: random.some(6, () => message(random)),
        ...(random() < 0.4 ? { tools: random.some(4, () => tool(random)), tool_choice: 'auto' } : {}),
        ...(random() < 0.1 ? { functions: random.some(3, () => tool(random).function) } : {}),
        ...(random() < 0.2 ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: schema(random) } } } : {}),
        ...(random() < 0.1 ? { system: text_of(random) } : {}) }));
    const reckoned = reckon(bodies.map(body => ({ body })));
    let most = [0], errors = [];
    bodies.forEach((body, i) => {
        const fixed = 512 + (body.tools ? 1024 : 0) + (body.functions ? 1024 : 0);     // for templates that say more; this one has to do without
        for (const name of real) for (const [how, render] of Object.entries(renderings)) {
            if (how.includes('indented') && !indented.includes(name)) continue;
            const n = tokens_of(body, tokenizers[name], render), bound = reckoned[i].bound - fixed;
            assert.ok(n <= bound, `${name}, ${how}: ${n} tokens, the bound is ${bound}: ${JSON.stringify(body)}`);
            if (n / bound > most[0]) most = [n / bound, name, how];
            if (name === 'o200k_base' && how === 'JSON') errors.push(reckoned[i].guess / n - 1);
        }
    });
    say(`${bodies.length} requests, ${real.length} tokenizers, ${Object.keys(renderings).length} templates; most tokens for the bound: ${most[0].toFixed(3)} (${most[1]}, ${most[2]})`);
    say(`estimate of requests (o200k_base, definitions as JSON): ${described(errors)}`);
});

test('nor of prompts and inputs, alone and in lists, as texts and as ids', () => {
    const random = chance(seed + 4), asked = [];
    for (let i = 0; i < 200; i++) {
        const list = random.some(8, () => text_of(random)), ids = list.map(t => random.some(30, () => random.below(200000)));
        const [value, parts] = random.of([[list[0], [list[0]]], [list, list], [ids[0], [ids[0]]], [ids, ids], [['a', '', 'b'], ['a', '', 'b']]]);
        const completions = random() < 0.5;
        asked.push({ endpoint: completions ? 'completions' : 'embeddings', body: completions ? { prompt: value } : { input: value }, parts });
    }
    reckon(asked).forEach((r, i) => {
        for (const name of Object.keys(tokenizers)) {
            // a beginning, an end and SentencePiece's blank for each
            const n = asked[i].parts.reduce((sum, p) => sum + 3 + (typeof p === 'string' ? tokenizers[name](p) : p.length), 0);
            assert.ok(n <= r.bound, `${name}: ${n} tokens, the bound is ${r.bound}: ${JSON.stringify(asked[i].body)}`);
        }
    });
});

// ---- the estimate ----

const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.floor(q * (list.length - 1))];
const percent = n => `${(100 * n).toFixed(0)} %`;
const described = errors => `median ${percent(quantile(errors.map(Math.abs), 0.5))}, 90th percentile ${percent(quantile(errors.map(Math.abs), 0.9))}`;

test('the estimate is near', () => {
    const random = chance(seed + 5), measured = ['o200k_base', 'cl100k_base', 'llama 3', 'claude 2 (NFKC)'];
    const list = Object.entries(natural).flatMap(([kind, make]) => { const text = make(1); return Array.from({ length: 40 }, () => ({ kind, text: text(random.of([200, 500, 1000]), random).toWellFormed() })); });
    const reckoned = reckon(list.map(d => ({ endpoint: 'completions', body: { prompt: d.text } })));
    say(`estimate, error by kind (median / 90th percentile): ${measured.join(', ')}; four bytes a token, o200k_base`);
    for (const kind of Object.keys(natural)) {
        const of_kind = list.map((d, i) => [d, reckoned[i].guess]).filter(([d]) => d.kind === kind);
        const errors = measured.map(name => of_kind.map(([d, guess]) => Math.abs(guess / tokenizers[name](d.text) - 1)));
        const simple = of_kind.map(([d]) => Math.abs(Buffer.byteLength(d.text) / 4 / tokenizers.o200k_base(d.text) - 1));
        const both = e => `${percent(quantile(e, 0.5))} / ${percent(quantile(e, 0.9))}`;
        say(`${kind}: ${[...errors, simple].map(both).join(', ')}`);
        assert.ok(quantile(errors[0], 0.5) < 0.3, `${kind}: half of the estimates are off by 30 %`);
        assert.ok(quantile(errors[0], 0.9) < 0.45, `${kind}: a tenth of the estimates is off by 45 %`);
    }
});
