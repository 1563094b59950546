"""Speech made from text: pages in, spoken clips out."""
