/* A key is made, changed, replaced by a new text, or revoked: checked, written down, then in force on every worker, then answered. Who made it is told its
 * text once; it is nowhere else. */
#include "base/alloc.h"
#include "base/text.h"
#include "gateway/change.h"
#include "gateway/key_file.h"
#include "script/load_key.h"
#include "state/registry.h"
#include <stdlib.h>
#include <string.h>

typedef struct lun_change change;

void lun_change_keyring(struct lun_changes *c, struct lun_keyring *ring)
{
    lun_keyring_ref(ring);
    lun_keyring_unref(c->keyring);
    c->source.options.keyring = c->keyring = ring;
}

static bool take_mistakes(change *ch, struct lun_mistakes *m)
{
    for (int i = 0; i < m->n; i++) lun_change_refuse(ch, 422, "%s", m->items[i].what);
    bool fine = !m->n;
    lun_mistakes_free(m);
    return fine;
}

static const char *file_of(const struct lun_changes *c) { return c->source.path ? c->source.path : c->source.name; }

/* ---- which key ---- */

static const char *near_name(const struct lun_changes *c, const char *name)
{
    const char *names[1000];
    size_t n = 0;
    for (int i = 0; c->keyring && i < c->keyring->n && n < 900; i++) names[n++] = c->keyring->keys[i]->name;
    for (int i = 0; i < c->current->n_clients && n < 1000; i++) names[n++] = c->current->clients[i].name;
    return lun_text_nearest(name, names, n);
}

/* The key that is to be changed. */
static bool find(change *ch, const char *name)
{
    struct lun_changes *c = ch->of;
    ch->key_before = lun_key_ref(lun_keyring_named(c->keyring, name));
    if (ch->key_before) return true;
    if (lun_snapshot_client_named(c->current, name)) return lun_change_refuse(ch, 409, "%s stands in `clients` of %s: change it there", name, file_of(c));
    const char *near = near_name(c, name);
    return lun_change_refuse(ch, 404, "there is no key %s%s%s%s", name, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
}

static bool is_alive(change *ch)
{
    char at[25];
    if (!ch->key_before->revoked) return true;
    lun_clock_text(ch->key_before->revoked, at);
    return lun_change_refuse(ch, 409, "%s was revoked at %s, for good: make a new key", ch->key_before->name, at);
}

static bool is_free(change *ch, const struct lun_key_form *form)
{
    struct lun_changes *c = ch->of;
    const char *name = form->key.name;
    if (lun_snapshot_client_named(c->current, name)) return lun_change_refuse(ch, 409, "name: %s stands in `clients` of %s: take another one", name, file_of(c));
    ch->key_before = lun_key_ref(lun_keyring_named(c->keyring, name));
    if (!ch->key_before && c->keyring && c->keyring->n >= LUN_KEYS_MOST) return lun_change_refuse(ch, 409, "there are %d keys already, with those that were revoked", LUN_KEYS_MOST);
    if (!ch->key_before) return true;
    if (!ch->key_before->revoked) return lun_change_refuse(ch, 409, "name: there is a key %s already: take another name, or change, rotate or revoke that one", name);
    return form->anew || lun_change_refuse(ch, 409, "name: a key %s was revoked, and what it spent counts to its name: take another name, or say anew "
                                                    "(true; --anew) to make another one of that name", name);
}

/* ---- what becomes of it ---- */

static bool new_text(change *ch, struct lun_key *like)
{
    if (!lun_key_text_make(ch->key_text, &like->now)) return lun_change_refuse(ch, 503, "the system gives no randomness to make a key of");
    ch->result.key_text = ch->key_text;
    return true;
}

static void finish_key(change *ch, struct lun_key *like, lun_us wall)
{
    like->changed = wall;
    ch->key = lun_key_new(like);
}

static void make(change *ch, lun_us wall)
{
    struct lun_mistakes mistakes = {0};
    struct lun_key_form form = {0};
    lun_key_form_read(&form, ch->said, (struct lun_json){0}, NULL, LUN_KEY_SAYS_NAME | LUN_KEY_SAYS_EXPIRES | LUN_KEY_SAYS_ANEW, ch->of->current, wall, &mistakes);
    if (take_mistakes(ch, &mistakes) && is_free(ch, &form) && new_text(ch, &form.key)) {
        form.key.life = ch->key_before ? ch->key_before->life + 1 : 1;
        form.key.version = 1;
        form.key.made = wall;
        finish_key(ch, &form.key, wall);
    }
    lun_key_form_free(&form);
}

/* As it is, with other fields. */
static void alter(change *ch, lun_us wall)
{
    const struct lun_key *k = ch->key_before;
    struct lun_mistakes mistakes = {0};
    struct lun_key_form form = {0};
    struct lun_json fields;
    lun_json_check(k->fields, strlen(k->fields), &fields, NULL);
    lun_key_form_read(&form, ch->said, fields, k->name, LUN_KEY_SAYS_EXPIRES, ch->of->current, wall, &mistakes);
    if (take_mistakes(ch, &mistakes)) {
        struct lun_key like = lun_key_said(k);
        like.rule = form.key.rule, like.team = form.key.team, like.fields = form.key.fields;
        if (form.expires_said) like.expires = form.key.expires;
        like.version++;
        if (strcmp(like.fields, k->fields) || like.expires != k->expires) finish_key(ch, &like, wall);
    }
    lun_key_form_free(&form);
}

/* Those that were valid before end when the one does that is replaced now, if not sooner; ended ones make room. -1: there is none. */
static int age(const struct lun_key *k, lun_us wall, lun_us until, struct lun_key_digest older[LUN_KEY_OLDER_MOST])
{
    int n = 0;
    for (int ended = 1; ended >= 0; ended--)
        for (int i = 0; i < k->n_older; i++) {
            bool over = k->older[i].until <= wall;
            if (over != ended) continue;
            if (n == LUN_KEY_OLDER_MOST - 1) {
                if (older[0].until > wall) return -1;
                memmove(older, older + 1, (size_t)--n * sizeof *older);
            }
            older[n] = k->older[i];
            if (older[n].until > until && !over) older[n].until = until;
            n++;
        }
    older[n] = k->now;
    older[n++].until = until;
    return n;
}

static void rotate(change *ch, lun_us wall)
{
    struct lun_key_digest older[LUN_KEY_OLDER_MOST];
    struct lun_mistakes mistakes = {0};
    struct lun_key like = lun_key_said(ch->key_before);
    lun_us keep;
    lun_key_keep_read(ch->said, &keep, &mistakes);
    if (!take_mistakes(ch, &mistakes)) return;
    like.n_older = age(ch->key_before, wall, wall + keep, older);
    like.older = older;
    like.version++;
    if (like.n_older < 0) lun_change_refuse(ch, 409, "%d texts before this one are valid still: wait until one of them ends", LUN_KEY_OLDER_MOST - 1);
    else if (new_text(ch, &like)) finish_key(ch, &like, wall);
}

static void end_key(change *ch, lun_us wall)
{
    struct lun_key like = lun_key_said(ch->key_before);
    if (like.revoked) return;
    like.revoked = wall;
    like.version++;
    finish_key(ch, &like, wall);
}

void lun_change_homeless(change *ch, const struct lun_snapshot *s)
{
    const struct lun_keyring *r = ch->of->keyring;
    for (int i = 0; r && i < r->n; i++) {
        const struct lun_key *k = r->keys[i];
        if (k->team && !k->revoked && !lun_snapshot_team(s, k->team))
            lun_texts_add(ch, &ch->result.warnings, "the key %s is of the team %s, which is not in `teams`: it lets nobody in until it is", k->name, k->team);
    }
}

/* ---- the order of things ---- */

static void taken(struct lun_errand *e)
{
    change *ch = lun_change_on(e);
    const struct lun_changes_options *o = &ch->of->options;
    lun_change_keyring(ch->of, ch->keyring);
    if (ch->key && o->key_changed) o->key_changed(o->self, ch->key);
    ch->result.changed = true;
    lun_change_finish(ch);
}

static void take(struct lun_errand *e, struct lun_worker *w, int index)
{
    (void)index;
    lun_worker_keys(w, lun_change_on(e)->keyring);
}

static void in_force(change *ch)
{
    for (int i = 0; i < ch->keyring->n; i++) {
        struct lun_key *k = ch->keyring->keys[i];
        if (!k->rule.state && !k->revoked) lun_registry_bind_key(ch->of->options.registry, k);
    }
    lun_change_everywhere(ch, take, taken);
}

/* A key that is to end ends also where that cannot be written down. */
static bool ends(const change *ch) { return ch->verb_of_key == LUN_KEY_REVOKE || ch->verb_of_key == LUN_KEY_LEARN; }

static void written(struct lun_job *j)
{
    change *ch = lun_change_of(j);
    if (ch->of->stopping) lun_change_fail(ch, 503, ch->result.kept ? "the gateway is stopping: it is written down, and counts from its next start" : "the gateway is stopping");
    else if (!ch->result.kept && !ends(ch)) lun_change_fail(ch, 503, "nothing has changed: %s", ch->write_error);
    else {
        if (!ch->result.kept) lun_change_refuse(ch, 503, "it is in force, but cannot be written down: after a restart a key that was revoked would be valid again: %s",
                                     ch->write_error);
        in_force(ch);
    }
}

/* Nobody gets a key of which there is no record; one that ends does so all the same. */
static bool audited(change *ch)
{
    char *error = NULL;
    if (lun_change_write_audit(ch, &error)) return true;
    if (ends(ch)) {
        lun_texts_add(ch, &ch->result.warnings, "%s: this change is not in it", error);
        free(error);
        return true;
    }
    ch->write_error = error;
    return false;
}

/* What the audit log has said of it did not come true. */
static void audit_failed(change *ch)
{
    char *error = NULL;
    lun_buf_free(&ch->audit);
    lun_change_audit_failed(ch, ch->write_error);
    if (!lun_change_write_audit(ch, &error)) lun_texts_add(ch, &ch->result.warnings, "%s", error);
    free(error);
}

void lun_change_write_keys(struct lun_job *j)
{
    change *ch = lun_change_of(j);
    struct lun_keep *keep = lun_changes_means(ch->of)->keep;
    char *error = NULL;
    if (!audited(ch)) return;
    ch->result.kept = lun_keep_write_keys(keep, ch->keys_file.at, ch->keys_file.n, &ch->write_error);
    if (ch->result.kept && ch->text && !lun_keep_write(keep, ch->text, ch->n_text, &error)) lun_texts_add(ch, &ch->result.warnings, "%s", error);
    ch->wrote = ends(ch);
    if (!ch->result.kept && !ends(ch)) audit_failed(ch);
    free(error);
}

static void carry_out(change *ch)
{
    struct lun_changes *c = ch->of;
    bool first = !c->keyring || !c->keyring->n;
    if (first && lun_admission_is_open(c->current, c->keyring))
        lun_texts_add(ch, &ch->result.warnings, "the gateway was open: from now on whoever asks needs a key");
    if (first) lun_change_state(ch);
    lun_key_file_put(&ch->keys_file, ch->keyring);
    lun_change_audit(ch);
    lun_change_aside(ch, lun_change_write_keys, written);
}

/* Two names with one text are nobody's doing who makes keys: the later one is not taken, or the file of both could not be read. */
static bool drop_double(change *ch)
{
    enum lun_key_standing stands;
    for (int i = 0; i < ch->n_learned; i++) {
        struct lun_key *k = ch->learned[i];
        const struct lun_key *known = lun_keyring_find(ch->of->keyring, k->now.hash, 0, &stands);
        bool is_known = known && strcmp(known->name, k->name);
        if (!is_known && (lun_keyring_named(ch->keyring, k->name) != k || lun_keyring_find(ch->keyring, k->now.hash, 0, &stands) == k)) continue;
        lun_texts_add(ch, &ch->result.warnings, "the key %s has the text of another one, and is not taken", k->name);
        lun_key_unref(k);
        ch->learned[i] = ch->learned[--ch->n_learned];
        return true;
    }
    return false;
}

static void learn(change *ch)
{
    struct lun_changes *c = ch->of;
    do {
        lun_keyring_unref(ch->keyring);
        ch->keyring = lun_keyring_with(c->keyring, ch->learned, ch->n_learned, &ch->n_newer);
    } while (drop_double(ch));
    ch->keyring_before = lun_keyring_ref(c->keyring);
    for (int i = 0; i < ch->n_learned; i++)
        if (!ch->learned[i]->revoked && lun_snapshot_client_named(c->current, ch->learned[i]->name))
            lun_texts_add(ch, &ch->result.warnings, "the key %s stands in `clients` of %s too: both are valid, and spend together", ch->learned[i]->name, file_of(c));
    if (ch->n_newer) carry_out(ch);
    else lun_change_finish(ch);
}

void lun_change_key(change *ch)
{
    struct lun_changes *c = ch->of;
    lun_us wall = lun_clock_wall();
    const char *why = c->first->state ? "it cannot be used" : "state = false, or a configuration without a folder";
    if (!c->keep) lun_change_refuse(ch, 409, "keys are kept in the folder `state`, and there is none here: %s", why);
    else if (ch->verb_of_key == LUN_KEY_LEARN) { learn(ch); return; }
    else if (ch->verb_of_key == LUN_KEY_CREATE) make(ch, wall);
    else if (find(ch, ch->key_name) && (ch->verb_of_key == LUN_KEY_REVOKE || is_alive(ch))) {
        if (ch->verb_of_key == LUN_KEY_CHANGE) alter(ch, wall);
        else if (ch->verb_of_key == LUN_KEY_ROTATE) rotate(ch, wall);
        else end_key(ch, wall);
    }
    ch->result.key = ch->key ? ch->key : ch->key_before;
    if (ch->key) {
        ch->keyring = lun_keyring_with(c->keyring, &ch->key, 1, NULL);
        carry_out(ch);
    } else lun_change_finish(ch);
}
