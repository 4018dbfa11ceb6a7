-- What stands for the older part of long conversations, and whether what is remembered is of use.

-- The running summary of a thread. It goes with the thread, and whenever one of the thread's turns is deleted or edited;
-- it is then made anew from what is left. At most some 8 KB a row.
CREATE TABLE memory_summaries (
    thread_no    bigint PRIMARY KEY REFERENCES memory_threads ON DELETE CASCADE,
    workspace_id text NOT NULL,
    up_to_seq    bigint NOT NULL,               -- the thread was read up to here
    lines        jsonb NOT NULL,                -- [[place, weight, role, name, text]]: sentences that were picked
    told         text,                          -- the summary in a model's words; null: the lines are the summary
    updated_at   timestamptz NOT NULL
);

-- What calls got from memory and what became of it; one row a workspace and day (UTC), for `retention.usage_days`.
CREATE TABLE memory_effect (
    workspace_id text NOT NULL,
    day          date NOT NULL,
    notes        bigint NOT NULL,               -- calls that got stored items
    notes_judged bigint NOT NULL,               -- … that were compared with their answer
    notes_used   bigint NOT NULL,               -- … and whose answer made use of one of them
    used         bigint NOT NULL,               -- items, by what the answer made of them
    ignored      bigint NOT NULL,
    unjudged     bigint NOT NULL,               -- … that nobody compared: no words in the answer, or too much to do
    shortened    bigint NOT NULL,               -- calls that were sent without the older part of their conversation
    left_out     bigint NOT NULL,               -- the messages of that part
    PRIMARY KEY (workspace_id, day)
);

CREATE INDEX memory_effect_by_day ON memory_effect (day);

-- How often turns were of use: items that have a row in memory_facts count there. One row a turn that was of use at least
-- once, 60 bytes; it goes with the turn.
CREATE TABLE memory_turn_uses (
    item_id      uuid PRIMARY KEY,
    workspace_id text NOT NULL,
    uses         integer NOT NULL,
    used_at      timestamptz NOT NULL
);

-- Judgements of a period, for the share of what was given out that anybody judged.
CREATE INDEX memory_feedback_by_time ON memory_feedback (workspace_id, at);

-- The same columns as before; `uses` counts for turns too.
CREATE OR REPLACE VIEW memory_items AS
SELECT t.id, t.seq, t.user_no, t.thread_no, t.workspace_id, u.user_id, h.thread_id, h.implicit, t.agent_id, t.app_id,
    t.kind, t.role, t.name, t.message_id, t.part, t.content, t.tokens, t.metadata, t.created_at, t.recorded_at,
    t.valid_from, t.valid_to, t.retired_at, t.expires_at, t.salience,
    f.root_id, f.version, f.origin, f.subject, f.relation, f.value, f.quote, f.sources, f.importance, f.mentions,
    coalesce(f.uses + w.uses, f.uses, w.uses) AS uses, greatest(f.used_at, w.used_at) AS used_at, f.feedback
FROM memory_turns t
JOIN memory_users u ON u.user_no = t.user_no
JOIN memory_threads h ON h.thread_no = t.thread_no
LEFT JOIN memory_facts f ON f.item_id = t.id
LEFT JOIN memory_turn_uses w ON w.item_id = t.id;
