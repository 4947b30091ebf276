provider shop {
	probe request__begin(uint64_t number, char *path);
	probe request__end(uint64_t number, int32_t length);
};
