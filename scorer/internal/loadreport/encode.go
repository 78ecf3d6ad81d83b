package loadreport

import (
	"encoding/binary"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// encode gives the header's value in a format; false for one that is not known.
func (r Report) encode(format string) (string, bool) {
	switch strings.ToLower(format) {
	case "text":
		return "TEXT " + r.text(), true
	case "json":
		text, err := json.Marshal(r)
		return "JSON " + string(text), err == nil
	}
	return "", false
}

func (r Report) text() string {
	var b strings.Builder
	add := func(name string, value float64) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(name + "=" + strconv.FormatFloat(value, 'g', -1, 64))
	}
	add("cpu_utilization", r.CPUUtilization)
	add("mem_utilization", r.MemUtilization)
	add("application_utilization", r.ApplicationUtilization)
	add("rps_fractional", r.RPS)
	add("eps", r.EPS)
	for _, name := range slices.Sorted(maps.Keys(r.NamedMetrics)) {
		add("named_metrics."+name, r.NamedMetrics[name])
	}
	return b.String()
}

// Fields of the message xds.data.orca.v3.OrcaLoadReport.
const (
	fieldCPU         = 1
	fieldMemory      = 2
	fieldRPS         = 6
	fieldEPS         = 7
	fieldNamed       = 8
	fieldApplication = 9
)

// Wire types of protobuf.
const (
	wireFixed64 = 1
	wireBytes   = 2
)

// marshal gives the report as an OrcaLoadReport in protobuf's wire format.
func (r Report) marshal() []byte {
	var b []byte
	b = appendDouble(b, fieldCPU, r.CPUUtilization)
	b = appendDouble(b, fieldMemory, r.MemUtilization)
	b = appendDouble(b, fieldRPS, r.RPS)
	b = appendDouble(b, fieldEPS, r.EPS)
	for _, name := range slices.Sorted(maps.Keys(r.NamedMetrics)) {
		entry := appendBytes(nil, 1, []byte(name))
		b = appendBytes(b, fieldNamed, appendDouble(entry, 2, r.NamedMetrics[name]))
	}
	return appendDouble(b, fieldApplication, r.ApplicationUtilization)
}

// appendDouble leaves out zero, which is what a field that is not there means.
func appendDouble(b []byte, field uint64, value float64) []byte {
	if value == 0 {
		return b
	}
	b = binary.AppendUvarint(b, field<<3|wireFixed64)
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(value))
}

func appendBytes(b []byte, field uint64, value []byte) []byte {
	b = binary.AppendUvarint(b, field<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(value)))
	return append(b, value...)
}
