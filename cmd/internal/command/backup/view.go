package backup

import (
	"strconv"
	"strings"
	"time"

	"github.com/fairlead/fairlead/cmd/internal/output"
	"github.com/fairlead/fairlead/platform/backup"
)

const timeFormat = time.RFC3339

// summary is what a backup holds, for programs.
type summary struct {
	File    string        `json:"file"`
	Format  int           `json:"format"`
	Version string        `json:"version"`
	Taken   time.Time     `json:"taken"`
	Online  bool          `json:"online"`
	Apart   bool          `json:"apart,omitempty"`
	Streams []stream      `json:"streams"`
	Parts   []backup.Part `json:"parts"`
}

type stream struct {
	Name          string   `json:"name"`
	FirstSequence uint64   `json:"first_sequence"`
	LastSequence  uint64   `json:"last_sequence"`
	Messages      uint64   `json:"messages"`
	Bytes         uint64   `json:"bytes"`
	Consumers     []string `json:"consumers,omitempty"`
}

func summarise(file string, m backup.Manifest) summary {
	s := summary{
		File: file, Format: m.Format, Version: m.Version, Taken: m.Taken, Online: m.Online, Apart: m.Apart,
		Streams: []stream{}, Parts: m.Parts,
	}
	for _, each := range m.Streams {
		one := stream{
			Name: each.Name, FirstSequence: each.FirstSequence, LastSequence: each.LastSequence,
			Messages: each.Messages, Bytes: each.Bytes,
		}
		for _, c := range each.Consumers {
			one.Consumers = append(one.Consumers, c.Name)
		}
		s.Streams = append(s.Streams, one)
	}
	return s
}

func document(file string, m backup.Manifest) output.Document {
	return output.Document{
		Value: summarise(file, m),
		Names: []string{file},
		Text: func(t *output.Text) {
			how := "while it was stopped"
			if m.Online {
				how = "while it ran"
			}
			if m.Apart {
				how += "; the streams are milliseconds apart"
			}
			t.Facts(
				output.Fact{Name: "File", Value: file},
				output.Fact{Name: "Taken", Value: m.Taken.Format(timeFormat) + ", " + how},
				output.Fact{Name: "By", Value: "fairlead " + m.Version},
				output.Fact{Name: "Artefacts", Value: held(m, "artefacts/")},
				output.Fact{Name: "Secrets", Value: held(m, "secrets/")},
				output.Fact{Name: "Telemetry", Value: held(m, "telemetry/")},
			)
			t.Blank()
			rows := make([][]string, 0, len(m.Streams))
			for _, s := range m.Streams {
				rows = append(rows, []string{
					s.Name, strconv.FormatUint(s.Messages, 10), output.Bytes(int64(s.Bytes)), strconv.FormatUint(s.LastSequence, 10),
				})
			}
			t.Table([]string{"STREAM", "MESSAGES", "SIZE", "LAST SEQUENCE"}, rows)
		},
	}
}

// held counts the parts of one kind.
func held(m backup.Manifest, prefix string) string {
	var count, size int64
	for _, p := range m.Parts {
		if strings.HasPrefix(p.Name, prefix) {
			count, size = count+1, size+p.Size
		}
	}
	if count == 0 {
		return ""
	}
	return strconv.FormatInt(count, 10) + " files, " + output.Bytes(size)
}
