// Real tokenizers that need nothing from outside their packages. Each: text => how many tokens; what looks like a special token is text.
import { readFileSync } from 'node:fs';
import { get_encoding, Tiktoken } from 'tiktoken';
import { Tiktoken as PureTiktoken } from 'js-tiktoken/lite';
import llama2 from 'llama-tokenizer-js';
import llama3 from 'llama3-tokenizer-js';

export const openai = ['gpt2', 'r50k_base', 'p50k_base', 'p50k_edit', 'cl100k_base', 'o200k_base'];
export const tokenizers = Object.fromEntries(openai.map(name => {
    const encoding = get_encoding(name);
    return [name, text => encoding.encode(text, [], []).length];
}));

const claude = JSON.parse(readFileSync(new URL('node_modules/@anthropic-ai/tokenizer/claude.json', import.meta.url)));
const claude2 = new Tiktoken(claude.bpe_ranks, {}, claude.pat_str);
tokenizers['claude 2 (NFKC)'] = text => claude2.encode(text.normalize('NFKC'), [], []).length;
tokenizers['llama 2 (SentencePiece)'] = text => llama2.encode(text, false, true).length;
tokenizers['llama 3'] = text => llama3.encode(text, { bos: false, eos: false }).length;

// No tokenizer of bytes can count more than the bytes of what it is given: these stand for all of them, with each normal form there is.
export const forms = {
    'bytes': text => text,
    'bytes of NFC': text => text.normalize('NFC'),
    'bytes of NFKC': text => text.normalize('NFKC'),
    'bytes of NFKC, lower case': text => text.toLowerCase().normalize('NFKC'),
};
for (const [name, form] of Object.entries(forms)) tokenizers[name] = text => Buffer.byteLength(form(text));

// The same encodings in pure JavaScript.
export async function pure(name) {
    const ranks = (await import(`js-tiktoken/ranks/${name}`)).default;
    const encoding = new PureTiktoken(ranks);
    return text => encoding.encode(text, [], []).length;
}
