//go:build unix && !linux

package worker

func newLargeBody(int64) (*LargeBody, error) { return nil, nil }

// Close does nothing: there are no large bodies here.
func (b *LargeBody) Close() {}
