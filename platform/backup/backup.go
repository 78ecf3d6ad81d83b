// Package backup is the file that holds a whole installation: its streams, its
// artefacts and its secrets, as parts with their digests, and a manifest of them.
//
// Guarantees:
//   - A file appears under its name when it is whole, readable by its owner only. A
//     Writer that is not committed leaves nothing.
//   - Every part is read against its size and SHA-256; damage is an error of kind
//     DataLoss, never other content. Verify reads all of them.
//   - The file is a ZIP archive, so that its manifest is found without reading the
//     rest, a file that was cut off does not open, and everybody has a tool for it.
//
// What the parts hold is the business of those who write them; package streams
// writes those of NATS. A Writer and a Reader are each for one goroutine.
package backup

import (
	"encoding/json"
	"time"
)

// Format is the version of the file's layout that this package writes. A reader
// refuses later ones.
const Format = 1

// manifestName is the last entry of a file.
const manifestName = "manifest.json"

// Manifest says what a file holds.
type Manifest struct {
	Format int `json:"format"`
	// Version is that of the program that made the backup.
	Version string `json:"version"`
	// Taken is the instant whose state it is.
	Taken time.Time `json:"taken"`
	// Online says whether the installation ran meanwhile.
	Online bool `json:"online"`
	// Apart says that the streams were copied one after the other, because they never
	// rested for an instant.
	Apart   bool     `json:"apart,omitempty"`
	Streams []Stream `json:"streams"`
	Parts   []Part   `json:"parts"`
}

// Stream is a NATS stream at the instant of the backup.
type Stream struct {
	Name string `json:"name"`
	// Part holds its messages.
	Part string `json:"part"`
	// FirstSequence and LastSequence are the stream's; what is written after a
	// restore comes after LastSequence.
	FirstSequence uint64 `json:"first_sequence"`
	LastSequence  uint64 `json:"last_sequence"`
	Messages      uint64 `json:"messages"`
	// Bytes is the size of all messages.
	Bytes uint64 `json:"bytes"`
	// Config is the stream's configuration, as NATS writes it.
	Config json.RawMessage `json:"config"`
	// Consumers are the durable consumers, with how far they were.
	Consumers []Consumer `json:"consumers,omitempty"`
}

// Consumer is a durable consumer of a stream.
type Consumer struct {
	Name string `json:"name"`
	// Config is the consumer's configuration, as NATS writes it.
	Config json.RawMessage `json:"config"`
	// ConsumerSequence and StreamSequence are those of the last message before the
	// first that was not acknowledged: delivery goes on after it.
	ConsumerSequence uint64 `json:"consumer_sequence"`
	StreamSequence   uint64 `json:"stream_sequence"`
}

// Part is one content.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}
