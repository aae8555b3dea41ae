output "function_names" {
  description = "Names of the functions, by group."
  value       = { for group, function in aws_lambda_function.group : group => function.function_name }
}

output "mappings" {
  description = "Event source mappings, by group."
  value       = { for group, mapping in aws_lambda_event_source_mapping.this : group => mapping.uuid }
}
