package nodesize

// family is a series of sizes with the same accelerator.
type family struct {
	gpu     string
	members []member
}

type member struct {
	id       string
	vcpu     float64
	memoryGB float64
	gpus     int
}

func families() []family {
	return append(processorFamilies(), acceleratedFamilies()...)
}

func processorFamilies() []family {
	return []family{
		{members: []member{
			{"Standard_D1_v2", 1, 3.5, 0}, {"Standard_D2_v2", 2, 7, 0}, {"Standard_D3_v2", 4, 14, 0},
			{"Standard_D4_v2", 8, 28, 0}, {"Standard_D5_v2", 16, 56, 0}, {"Standard_D11_v2", 2, 14, 0},
			{"Standard_D12_v2", 4, 28, 0}, {"Standard_D13_v2", 8, 56, 0}, {"Standard_D14_v2", 16, 112, 0},
		}},
		{members: []member{
			{"Standard_DS1_v2", 1, 3.5, 0}, {"Standard_DS2_v2", 2, 7, 0}, {"Standard_DS3_v2", 4, 14, 0},
			{"Standard_DS4_v2", 8, 28, 0}, {"Standard_DS5_v2", 16, 56, 0}, {"Standard_DS11_v2", 2, 14, 0},
			{"Standard_DS12_v2", 4, 28, 0}, {"Standard_DS13_v2", 8, 56, 0}, {"Standard_DS14_v2", 16, 112, 0},
		}},
		{members: []member{
			{"Standard_D2_v3", 2, 8, 0}, {"Standard_D4_v3", 4, 16, 0}, {"Standard_D8_v3", 8, 32, 0},
			{"Standard_D16_v3", 16, 64, 0}, {"Standard_D2s_v3", 2, 8, 0}, {"Standard_D4s_v3", 4, 16, 0},
			{"Standard_D8s_v3", 8, 32, 0}, {"Standard_D16s_v3", 16, 64, 0}, {"Standard_D32s_v3", 32, 128, 0},
		}},
		{members: []member{
			{"Standard_D2s_v5", 2, 8, 0}, {"Standard_D4s_v5", 4, 16, 0}, {"Standard_D8s_v5", 8, 32, 0},
			{"Standard_D16s_v5", 16, 64, 0}, {"Standard_D32s_v5", 32, 128, 0},
		}},
		{members: []member{
			{"Standard_E2s_v3", 2, 16, 0}, {"Standard_E4s_v3", 4, 32, 0}, {"Standard_E8s_v3", 8, 64, 0},
			{"Standard_E16s_v3", 16, 128, 0},
		}},
		{members: []member{
			{"Standard_F2s_v2", 2, 4, 0}, {"Standard_F4s_v2", 4, 8, 0}, {"Standard_F8s_v2", 8, 16, 0},
			{"Standard_F16s_v2", 16, 32, 0}, {"Standard_F32s_v2", 32, 64, 0}, {"Standard_F72s_v2", 72, 144, 0},
		}},
		{members: []member{
			{"Standard_B2s", 2, 4, 0}, {"Standard_B2ms", 2, 8, 0}, {"Standard_B4ms", 4, 16, 0}, {"Standard_B8ms", 8, 32, 0},
			{"Standard_A2_v2", 2, 4, 0}, {"Standard_A4_v2", 4, 8, 0}, {"Standard_A8_v2", 8, 16, 0},
		}},
	}
}

func acceleratedFamilies() []family {
	return []family{
		{gpu: "NVIDIA Tesla K80", members: []member{
			{"Standard_NC6", 6, 56, 1}, {"Standard_NC12", 12, 112, 2}, {"Standard_NC24", 24, 224, 4},
		}},
		{gpu: "NVIDIA Tesla P100", members: []member{
			{"Standard_NC6s_v2", 6, 112, 1}, {"Standard_NC12s_v2", 12, 224, 2}, {"Standard_NC24s_v2", 24, 448, 4},
		}},
		{gpu: "NVIDIA Tesla V100", members: []member{
			{"Standard_NC6s_v3", 6, 112, 1}, {"Standard_NC12s_v3", 12, 224, 2}, {"Standard_NC24s_v3", 24, 448, 4},
		}},
		{gpu: "NVIDIA Tesla T4", members: []member{
			{"Standard_NC4as_T4_v3", 4, 28, 1}, {"Standard_NC8as_T4_v3", 8, 56, 1}, {"Standard_NC16as_T4_v3", 16, 110, 1},
			{"Standard_NC64as_T4_v3", 64, 440, 4},
		}},
		{gpu: "NVIDIA A100 80GB PCIe", members: []member{
			{"Standard_NC24ads_A100_v4", 24, 220, 1}, {"Standard_NC48ads_A100_v4", 48, 440, 2}, {"Standard_NC96ads_A100_v4", 96, 880, 4},
		}},
		{gpu: "NVIDIA A100 40GB", members: []member{{"Standard_ND96asr_v4", 96, 900, 8}}},
		{gpu: "NVIDIA H100 NVL", members: []member{
			{"Standard_NC40ads_H100_v5", 40, 320, 1}, {"Standard_NC80adis_H100_v5", 80, 640, 2},
		}},
		{gpu: "NVIDIA H100 80GB HBM3", members: []member{{"Standard_ND96isr_H100_v5", 96, 1900, 8}}},
		{gpu: "NVIDIA Tesla M60", members: []member{
			{"Standard_NV6", 6, 56, 1}, {"Standard_NV12", 12, 112, 2}, {"Standard_NV24", 24, 224, 4},
		}},
	}
}
