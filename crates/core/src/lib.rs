//! Nouns and rules: schema, values, canonical form, identity, mapping, routing, plan.
