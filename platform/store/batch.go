package store

import (
	"strings"
	"time"
)

// Validate tells the first thing that is wrong with b. Implementations call it
// before anything else.
func (b Batch) Validate() error {
	if len(b.Ops) == 0 {
		return invalid("batch", "has no op: events report a change of state")
	}
	if n := len(b.Ops) + len(b.Guards) + len(b.Events); n > MaxBatch {
		return invalid("batch", "has %d parts, at most %d are allowed", n, MaxBatch)
	}
	if len(b.ID) > maxIDSize || strings.ContainsFunc(b.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return invalid("batch id", "%q must be at most %d printable ASCII characters without space", b.ID, maxIDSize)
	}
	keys := map[string]bool{}
	for _, o := range b.Ops {
		if err := o.validate(); err != nil {
			return err
		}
		if keys[o.Key] {
			return invalid("batch", "writes key %s twice", o.Key)
		}
		keys[o.Key] = true
	}
	for _, g := range b.Guards {
		if err := ValidateKey(g.Key); err != nil {
			return err
		}
		if keys[g.Key] {
			return invalid("batch", "guards key %s twice, or guards and writes it", g.Key)
		}
		keys[g.Key] = true
	}
	return b.validateEvents()
}

func (b Batch) validateEvents() error {
	ids := map[string]bool{}
	for _, e := range b.Events {
		if err := e.Validate(); err != nil {
			return invalid("event", "is not valid: %v", err)
		}
		if ids[e.ID] {
			return invalid("event", "id %s is used twice", e.ID)
		}
		ids[e.ID] = true
		if len(e.Data) > MaxValue {
			return invalid("event", "data has %d bytes, at most %d are allowed", len(e.Data), MaxValue)
		}
	}
	return nil
}

func (o Op) validate() error {
	if err := ValidateKey(o.Key); err != nil {
		return err
	}
	if len(o.Value) > MaxValue {
		return invalid("value", "of key %s has %d bytes, at most %d are allowed", o.Key, len(o.Value), MaxValue)
	}
	switch o.Kind {
	case OpCreate, OpPut:
		if o.At != 0 {
			return invalid("op", "on key %s names a revision it does not use", o.Key)
		}
	case OpUpdate, OpDelete:
		if o.At == 0 {
			return invalid("op", "on key %s needs the revision the key has", o.Key)
		}
	default:
		return invalid("op", "on key %s is of no known kind", o.Key)
	}
	if o.TTL == 0 {
		return nil
	}
	if o.Kind == OpDelete {
		return invalid("ttl", "of key %s is given for a delete", o.Key)
	}
	if o.TTL < MinTTL || o.TTL > MaxTTL || o.TTL%time.Second != 0 {
		return invalid("ttl", "of key %s must be whole seconds from %v to %v", o.Key, MinTTL, MaxTTL)
	}
	return nil
}
