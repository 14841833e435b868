// Fits the weights of core/base/tokens.c to real tokenizers and prints them: `node fit.mjs`. What is aimed at lies between o200k_base and Llama 3
// (two thirds to one, by their ratio), in which a token is about what it is in today's models.
import { natural, chance } from './corpus.mjs';
import { tokenizers } from './tokenizers.mjs';

const names = ['LOWER', 'UPPER', 'DIGIT', 'SPACE', 'BREAK', 'MARK', 'LATIN', 'EAST', 'VIET', 'GREEK', 'CYRILLIC', 'ARABIC', 'INDIC', 'THAI', 'KANA', 'HAN', 'HANGUL', 'SIGN', 'OTHER'];
const K = names.length;
const class_of = p => {         // as class_of in tokens.c
    const c = String.fromCodePoint(p);
    if (p < 0x80) return /[a-z]/.test(c) ? 0 : /[A-Z]/.test(c) ? 1 : /[0-9]/.test(c) ? 2 : c === ' ' ? 3 : /[\t\n\r]/.test(c) ? 4 : p < 32 || p === 127 ? K - 1 : 5;
    const is = name => names.indexOf(name);
    if (p < 0xc0) return is('SIGN');
    if (p < 0x380) return is(p < 0x100 ? 'LATIN' : p < 0x180 ? 'EAST' : 'VIET');
    if (p < 0x800) return is(p < 0x400 ? 'GREEK' : p < 0x580 ? 'CYRILLIC' : 'ARABIC');
    if (p < 0x1000) return is(p >= 0xe00 && p < 0xf00 ? 'THAI' : 'INDIC');
    if (p < 0x2000) return is(p >= 0x1e00 ? 'VIET' : 'OTHER');
    if (p < 0x3040) return is('SIGN');
    if (p < 0xa000) return is(p < 0x3100 ? 'KANA' : 'HAN');
    if (p < 0xe000) return is('HANGUL');
    return is(p >= 0xf000 && p < 0x10000 ? 'SIGN' : 'OTHER');
};

const random = chance(7);
const samples = [];
for (const [kind, make] of Object.entries(natural)) {
    const text = make(0);
    for (let i = 0; i < 120; i++) {
        const t = text(random.of([80, 200, 500, 1000]), random);
        const y = tokenizers.o200k_base(t) ** (2 / 3) * tokenizers['llama 3'](t) ** (1 / 3);
        const x = new Map();
        let before = 4;
        for (const c of t) {
            const now = class_of(c.codePointAt(0));
            x.set(before * K + now, (x.get(before * K + now) || 0) + 1 / y);
            before = now;
        }
        samples.push({ kind, x });
    }
}

// Least squares of the relative error; each weight leans toward that of its class, and none is negative.
const w = new Float64Array(K * K).fill(0.3), columns = Array.from(w, () => []);
samples.forEach((s, i) => { for (const [j, v] of s.x) columns[j].push([i, v]); });
const rest = samples.map(s => { let p = 0; for (const [j, v] of s.x) p += w[j] * v; return 1 - p; });
for (let round = 0; round < 400; round++) {
    const mean = names.map((_, now) => {
        let sum = 0, n = 0;
        for (let b = 0; b < K; b++) { const many = columns[b * K + now].length; sum += many * w[b * K + now]; n += many; }
        return n ? sum / n : 1;
    });
    for (let j = 0; j < K * K; j++) {
        let up = 0.02 * (mean[j % K] - w[j]), down = 0.02;
        for (const [i, v] of columns[j]) { up += v * rest[i]; down += v * v; }
        const step = Math.max(up / down, -w[j]);
        w[j] += step;
        for (const [i, v] of columns[j]) rest[i] -= step * v;
    }
}

for (let b = 0; b < K; b++) console.log(`    [${names[b]}] = { ${Array.from({ length: K }, (_, now) => Math.round(w[b * K + now] * 1024)).join(', ')} },`);
const quantile = (list, q) => [...list].sort((a, b) => a - b)[Math.floor(q * (list.length - 1))];
for (const kind of Object.keys(natural)) {
    const e = rest.filter((_, i) => samples[i].kind === kind).map(Math.abs);
    console.error(`${kind}: median ${(100 * quantile(e, 0.5)).toFixed(0)} %, 90th ${(100 * quantile(e, 0.9)).toFixed(0)} %`);
}
