package admission

type outcome struct {
	reservation *Reservation
	err         error
}

// waiter is a request in the queue. Its outcome has room for one value, sent
// when it is taken out by anybody but itself.
type waiter struct {
	outcome    chan outcome
	prev, next *waiter
	queued     bool
}

// queue is a linked list, because callers leave from the middle.
type queue struct {
	head, tail *waiter
	len        int
}

func (q *queue) add(w *waiter, front bool) {
	w.queued = true
	q.len++
	switch {
	case q.head == nil:
		q.head, q.tail = w, w
	case front:
		w.next, q.head.prev = q.head, w
		q.head = w
	default:
		w.prev, q.tail.next = q.tail, w
		q.tail = w
	}
}

func (q *queue) pop() *waiter {
	w := q.head
	q.remove(w)
	return w
}

// remove says whether the waiter was still in the queue.
func (q *queue) remove(w *waiter) bool {
	if !w.queued {
		return false
	}
	w.queued = false
	q.len--
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		q.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		q.tail = w.prev
	}
	w.prev, w.next = nil, nil
	return true
}
