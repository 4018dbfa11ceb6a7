-- Health over time: when levels changed, and when each machine was last heard of.

-- A row for each change of a component's level on a machine, 90 days. A quiet machine writes a dozen at each start; one
-- that changes with every look 2,880 a day. 200 bytes each.
CREATE TABLE health_transitions (
    transition_id uuid PRIMARY KEY,
    at            timestamptz NOT NULL,
    machine       text NOT NULL,
    component     text NOT NULL,
    level_before  text NOT NULL,
    level_after   text NOT NULL,
    output        text NOT NULL
);

CREATE INDEX health_transitions_by_time ON health_transitions (at);
CREATE INDEX health_transitions_by_component ON health_transitions (component, machine, at);

-- A row for each machine, renewed with every look at the database: that it can be written is part of the look.
CREATE TABLE health_beats (
    machine text PRIMARY KEY,
    beat_at timestamptz NOT NULL
) WITH (fillfactor = 50);
