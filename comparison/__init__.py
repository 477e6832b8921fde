"""The article's comparisons: experiments measure cells into records, claims judge them, the report draws both."""
