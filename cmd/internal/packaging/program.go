package packaging

import (
	"debug/elf"
	"fmt"
)

// Program is what there is to know of a program's file.
type Program struct {
	Platform string // os/architecture as container tools write it
	// Loader is the system's loader that it needs; empty when it needs nothing.
	Loader string
}

// ReadProgram reads what a program's file is. Only Linux programs can be in an image.
func ReadProgram(name string) (Program, error) {
	file, err := elf.Open(name)
	if err != nil {
		return Program{}, fmt.Errorf("%s is not a Linux program", name)
	}
	defer func() { _ = file.Close() }()
	arch, ok := map[elf.Machine]string{
		elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64", elf.EM_PPC64: "ppc64le", elf.EM_S390: "s390x", elf.EM_RISCV: "riscv64",
	}[file.Machine]
	if !ok {
		return Program{}, fmt.Errorf("%s is for a machine of kind %v, for which there are no images", name, file.Machine)
	}
	p := Program{Platform: "linux/" + arch}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			text := make([]byte, segment.Filesz)
			if _, err := segment.ReadAt(text, 0); err != nil {
				return Program{}, fmt.Errorf("read %s: %w", name, err)
			}
			p.Loader = string(trimZero(text))
		}
	}
	return p, nil
}

func trimZero(text []byte) []byte {
	for len(text) > 0 && text[len(text)-1] == 0 {
		text = text[:len(text)-1]
	}
	return text
}
