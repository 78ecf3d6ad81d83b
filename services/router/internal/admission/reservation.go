package admission

import "time"

// Reservation is a place on a replica.
type Reservation struct {
	gate    *Gate
	slot    *slot
	address string
	// sent is when the place was given, rank how many requests the replica then had.
	sent           time.Time
	rank, capacity int
	// prev and next are in flight on the same replica.
	prev, next         *Reservation
	released, answered bool
}

// add makes r the newest of those in flight.
func (s *slot) add(r *Reservation) {
	r.prev = s.newest
	if s.newest != nil {
		s.newest.next = r
	} else {
		s.oldest = r
	}
	s.newest = r
}

func (s *slot) remove(r *Reservation) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		s.oldest = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		s.newest = r.prev
	}
	r.prev, r.next = nil, nil
}

// Address is the host:port of the replica.
func (r *Reservation) Address() string { return r.address }

// Replica is the replica's key.
func (r *Reservation) Replica() string { return r.slot.key }

// Release gives the place back; the second time nothing happens.
func (r *Reservation) Release() {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	r.gate.release(r)
}

// ReleaseAnswered gives the place back and lets the gate learn how fast the replica
// is: it has done what was asked.
func (r *Reservation) ReleaseAnswered() {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	r.answered = true
	r.gate.release(r)
}

// ReleaseUnreachable gives the place back and says that no connection to the
// replica could be made: it gets nothing for a moment.
func (r *Reservation) ReleaseUnreachable() {
	r.gate.mu.Lock()
	defer r.gate.mu.Unlock()
	r.gate.suspect(r.slot)
	r.gate.release(r)
}
